"""Preparation of images for recognition: eight bits a channel, upright, opaque, not too large."""

import math
from array import array

from PIL import Image, ImageChops, ImageFilter
from PIL.Image import Transpose
from PIL.ImageFile import ImageFile

from ilios.engines.converters import png_strips
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

CLEAR_BELOW, VISIBLE_FROM = 32, 128
"""Opacity below which a pixel is transparent, and from which its colour is seen."""

BACKGROUNDS = (255, 0, 128)
CONTRAST, LEAST_GAIN = 80, 0.05
"""Greys behind transparent images, the usual one first; difference of a shade that is seen on one,
and the share of the pixels that are seen only on another than the usual one, which takes its place.
"""

STEPS, CROWDED_STEPS, MAX_NARROWINGS = range(256), 16, 3
FEW_PIXELS, FEW_SHARE = 8, 2e-5
"""Steps of the range of an image's values, and how few of them all but a few pixels are in where
these are no part of the picture; the pixels, or their share."""

LARGEST_COPY = 16_000_000
"""Pixels of an image that is copied as it is."""

LARGEST_DECODED = 40_000_000
"""Pixels of an image that is decoded as a whole, whatever its kind."""

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
    # Before its orientation is looked at, for which Pillow decodes a PNG.
    frame = _in_strips(frame, side) or frame
    frame.draft("RGB", (side, side))
    frame.load()
    turn = EXIF_TRANSPOSE.get(frame.getexif().get(ORIENTATION, 1))
    small, behind = _small(frame, LARGEST_SIDE)
    if behind is not None or frame.mode in (*GREY, "P", "RGB", "CMYK", "YCbCr"):
        grey = _reduced(frame, "L", side, behind)
        grey.thumbnail((side, side))
    else:
        grey = _small(frame, side)[0].convert("L")
    if turn is not None:
        small, grey = small.transpose(turn), grey.transpose(turn)
    return small, Finer(grey.width / small.width, lambda: grey, longest / max(grey.size))


def _in_strips(frame: Image.Image, side: int) -> Image.Image | None:
    """Return a smaller copy of a frame that is too large to be decoded at once, if it can be."""
    factor = max(frame.size) // side
    if frame.width * frame.height <= LARGEST_DECODED or factor < 2:
        return None
    if frame.format != "PNG" or not isinstance(frame, ImageFile):
        return None
    return png_strips.load_reduced(str(frame.filename), factor)


def prepare_frame(frame: Image.Image, side: int = LARGEST_SIDE) -> Image.Image:
    """Return a decoded frame as RGB, with so many pixels on its longer side at most.

    It is made small by strips: three copies of an image at the size limit exceed a child's memory.
    """
    frame.draft("RGB", (side, side))  # a JPEG is decoded small at once
    frame.load()
    turn = EXIF_TRANSPOSE.get(frame.getexif().get(ORIENTATION, 1))
    small, _ = _small(frame, side)
    return small if turn is None else small.transpose(turn)


def _small(frame: Image.Image, side: int) -> tuple[Image.Image, int | None]:
    """Return a frame as RGB, as it is stored, with so many pixels on its longer side at most.

    It comes with the grey that is put behind it, None where nothing is transparent.
    """
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
        behind = _background(small)
        return _opaque(small, behind).convert("RGB"), behind
    return small.convert("RGB"), None


def _opaque(image: Image.Image, grey: int) -> Image.Image:
    background = Image.new("RGBA", image.size, (grey, grey, grey))
    background.alpha_composite(image)
    return background


def _background(image: Image.Image) -> int:
    """Return the grey on which what borders the transparent parts of an image is seen best.

    White text on a transparent background would be white on white, and black text black on black.
    """
    alpha = image.getchannel("A")
    clear = alpha.point(lambda value: 255 * (value < CLEAR_BELOW)).filter(ImageFilter.MaxFilter(5))
    visible = alpha.point(lambda value: 255 * (value >= VISIBLE_FROM))
    shades = image.convert("L").histogram(ImageChops.multiply(clear, visible))
    total = sum(shades)

    def seen(grey: int) -> int:
        far = (count for shade, count in enumerate(shades) if abs(shade - grey) >= CONTRAST)
        return sum(far)

    best = max(BACKGROUNDS, key=seen)
    return best if seen(best) > seen(BACKGROUNDS[0]) + LEAST_GAIN * total else BACKGROUNDS[0]


def _reduced(frame: Image.Image, mode: str, side: int, behind: int | None = None) -> Image.Image:
    """Return a copy in another mode, smaller by a whole factor, but never too small.

    :param behind: the grey to put behind what is transparent.
    """

    def in_mode(part: Image.Image) -> Image.Image:
        return (part if behind is None else _opaque(part.convert("RGBA"), behind)).convert(mode)

    width, height = frame.size
    # Twice the size is left for the better filter, if there is memory.
    large = width * height > LARGEST_COPY
    factor = max(1, max(width, height) // (side if large else 2 * side))
    if (factor == 1 and not large) or min(width, height) < factor:
        return in_mode(frame)
    result = Image.new(mode, (-(-width // factor), -(-height // factor)))
    rows = max(1, STRIP_PIXELS // (width * factor)) * factor
    for top in range(0, height, rows):
        strip = in_mode(frame.crop((0, top, width, min(top + rows, height))))
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
    lowest, highest = _without_outliers(frame, lowest, highest)
    result = Image.new("L", frame.size, "white")
    if highest <= lowest:
        return result
    scale = 255 / (highest - lowest)
    for box in _strips(frame):
        strip = frame.crop(box).convert("F")
        result.paste(strip.point(lambda value: value * scale - lowest * scale).convert("L"), box)
    return result


def _without_outliers(frame: Image.Image, lowest: float, highest: float) -> tuple[float, float]:
    """Return the range of the values without those of a few pixels far from all others.

    Beside one pixel of a sensor that is stuck, all others may be equally dark.
    """
    pixels = frame.width * frame.height
    few = max(FEW_PIXELS, FEW_SHARE * pixels)
    for _ in range(MAX_NARROWINGS):
        step = (highest - lowest) / (len(STEPS) - 1)  # the last one is of the highest value alone
        counts = [0] * len(STEPS)
        for box in _strips(frame):
            part = frame.crop(box).convert("F").histogram(extrema=(lowest, highest))
            counts = [one + other for one, other in zip(counts, part, strict=True)]
        first = next((at for at in STEPS if sum(counts[: at + 1]) > few), 0)
        last = next((at for at in reversed(STEPS) if sum(counts[at:]) > few), len(STEPS) - 1)
        if step <= 0 or last - first >= CROWDED_STEPS or last < first:
            break
        lowest, highest = lowest + first * step, lowest + (last + 1) * step
    return lowest, highest


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
