"""Preparation of images for recognition: eight bits a channel, upright, on white, not too large."""

import math
from array import array

from PIL import Image
from PIL.Image import Transpose

from ilios.engines.recognition.recogniser import LARGEST_SIDE
from ilios.engines.recognition.tiles import LEAST_SCALE, Finer

ORIENTATION = 0x0112
EXIF_TRANSPOSE = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""Transposition that turns an image upright, by its EXIF orientation."""

GREY = ("1", "L")
LARGEST_COPY = 16_000_000
"""Pixels of an image that is copied as it is."""

STRIP_PIXELS = 4_000_000
"""Pixels of 32 bits converted at once: all of a large image would exceed a child's memory."""


def prepare_copies(frame: Image.Image, most_pixels: int) -> tuple[Image.Image, Finer | None]:
    """Return a decoded frame as RGB, and a finer copy of a large one in shades of grey.

    :param most_pixels: those of the finer copy.
    """
    longest = max(frame.size)
    reduced = max((frame.width * frame.height / most_pixels) ** 0.5, 1.0)
    side = int(longest / reduced)
    if side < LEAST_SCALE * LARGEST_SIDE:
        return prepare_frame(frame), None
    frame.draft("RGB", (side, side))
    frame.load()
    small = prepare_frame(frame)
    if _is_plain(frame):
        grey = _reduced(frame, "L", side)
        grey.thumbnail((side, side))
        turn = EXIF_TRANSPOSE.get(frame.getexif().get(ORIENTATION, 1))
        grey = grey if turn is None else grey.transpose(turn)
    else:
        grey = prepare_frame(frame, side).convert("L")
    return small, Finer(grey.width / small.width, lambda: grey, longest / max(grey.size))


def _is_plain(frame: Image.Image) -> bool:
    return frame.mode in (*GREY, "P", "RGB", "CMYK", "YCbCr") and "transparency" not in frame.info


def prepare_frame(frame: Image.Image, side: int = LARGEST_SIDE) -> Image.Image:
    """Return a decoded frame as RGB, with so many pixels on its longer side at most.

    It is made small by strips: three copies of an image at the size limit exceed a child's memory.
    """
    frame.draft("RGB", (side, side))  # a JPEG is decoded small at once
    frame.load()
    turn = EXIF_TRANSPOSE.get(frame.getexif().get(ORIENTATION, 1))
    has_alpha = frame.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in frame.info
    if has_alpha:
        small = _reduced(frame, "RGBA", side)
    elif frame.mode == "F" or frame.mode.startswith("I"):
        small = _eight_bits(frame)
    elif frame.mode == "LAB":
        small = frame.getchannel("L")  # the others are colour only
    else:
        small = _reduced(frame, "L" if frame.mode in GREY else "RGB", side)
    small.thumbnail((side, side))
    if has_alpha:
        # Black text on a transparent background would become black on black.
        background = Image.new("RGBA", small.size, "white")
        background.alpha_composite(small)
        small = background
    small = small.convert("RGB")
    return small if turn is None else small.transpose(turn)


def _reduced(frame: Image.Image, mode: str, side: int) -> Image.Image:
    """Return a copy in another mode, smaller by a whole factor, but never too small."""
    width, height = frame.size
    # Twice the size is left for the better filter, if there is memory.
    large = width * height > LARGEST_COPY
    factor = max(1, max(width, height) // (side if large else 2 * side))
    if (factor == 1 and not large) or min(width, height) < factor:
        return frame.convert(mode)
    result = Image.new(mode, (-(-width // factor), -(-height // factor)))
    rows = max(1, STRIP_PIXELS // (width * factor)) * factor
    for top in range(0, height, rows):
        strip = frame.crop((0, top, width, min(top + rows, height))).convert(mode)
        result.paste(strip.reduce(factor) if factor > 1 else strip, (0, top // factor))
    return result


def _eight_bits(frame: Image.Image) -> Image.Image:
    """Return an image of 16 or 32 bits in grey, its darkest value black and its lightest white.

    The values of a scanner seldom use the whole range, and those of a camera have no limits.
    """
    lowest, highest = _extrema(frame)
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        frame = _finite(frame)
        lowest, highest = _extrema(frame)
    result = Image.new("L", frame.size, "white")
    if highest <= lowest:
        return result
    scale = 255 / (highest - lowest)
    for box in _strips(frame):
        strip = frame.crop(box).convert("F")
        result.paste(strip.point(lambda value: value * scale - lowest * scale).convert("L"), box)
    return result


def _extrema(frame: Image.Image) -> tuple[float, float]:
    found = [frame.crop(box).convert("F").getextrema() for box in _strips(frame)]
    values = [float(value) for pair in found for value in pair if isinstance(value, (int, float))]
    if any(math.isnan(value) for value in values):
        return math.nan, math.nan
    return min(values, default=0.0), max(values, default=0.0)


def _strips(frame: Image.Image) -> list[tuple[int, int, int, int]]:
    width, height = frame.size
    rows = max(1, STRIP_PIXELS // max(width, 1))
    return [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]


def _finite(frame: Image.Image) -> Image.Image:
    """Return a smaller copy with 0 in place of what is no number."""
    frame = frame.convert("F")
    frame.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.NEAREST)
    values = array("f", frame.tobytes())
    clean = array("f", (value if math.isfinite(value) else 0.0 for value in values))
    return Image.frombytes("F", frame.size, clean.tobytes())
