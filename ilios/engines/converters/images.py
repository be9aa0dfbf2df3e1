"""Images to Markdown: every frame that is a page is read."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image, ImageSequence
from PIL.Image import Transpose

from actors.engines import Unconvertible
from ilios.engines.converters.registry import Pages
from ilios.engines.converters.versions import model_name
from ilios.engines.local.limits import EngineLimits
from ilios.engines.recognition import ocr

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "MPO")
SINGLE_PAGE_FORMATS = ("GIF", "WEBP", "PNG", "MPO")
"""Frames of these are moments or previews, not pages; only the first is read."""


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
"""What sets an image upright, by its EXIF orientation."""


def convert(path: Path, limits: EngineLimits, progress: Callable[[int, int], None]) -> Pages:
    """Convert an image; see :class:`ilios.engines.converters.registry.Converter`."""
    # Our own bound holds, checked before anything is decoded; Pillow's only warns at first.
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    pages: list[str] = []
    try:
        with Image.open(path, formats=FORMATS) as image:
            total = 1 if image.format in SINGLE_PAGE_FORMATS else _count(image, limits.max_pages)
            progress(0, total)
            reader = ocr.ImageReader()
            for frame in _frames(image, total, limits.max_pixels):
                progress(len(pages), total)  # it is decoded
                pages.append(reader.read(frame, lambda: progress(len(pages), total)))
                progress(len(pages), total)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(limits.max_pixels) from error
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise Unconvertible("corrupt", "The image is damaged: it cannot be decoded.") from error
    return Pages(pages, model_name("rapidocr"))


def _count(image: Image.Image, most: int) -> int:
    """Return how many pages an image has, without counting many more than are allowed."""
    try:
        image.seek(most)
    except EOFError:
        image.seek(0)
        return int(getattr(image, "n_frames", 1))
    raise Unconvertible(
        "too_many_pages", f"The image has too many pages; at most {most} are allowed."
    )


def _frames(image: Image.Image, total: int, max_pixels: int) -> Iterator[Image.Image]:
    for number, frame in enumerate(ImageSequence.Iterator(image)):
        if number == total:
            return
        if frame.width * frame.height > max_pixels:
            raise _too_large(max_pixels)
        yield _prepare_for_ocr(frame)


def _prepare_for_ocr(frame: Image.Image) -> Image.Image:
    """Return a frame as it is to be read: upright, no larger than of use, on white.

    Made small first: of an image at the limit even three copies are more than a child may hold.
    """
    frame.draft("RGB", (ocr.LARGEST_SIDE, ocr.LARGEST_SIDE))  # a JPEG is decoded small at once
    frame.load()
    turn = EXIF_TRANSPOSE.get(frame.getexif().get(ORIENTATION, 1))
    has_alpha = frame.mode in ("RGBA", "LA", "PA") or "transparency" in frame.info
    small = frame.convert("RGBA" if has_alpha else "RGB")
    small.thumbnail((ocr.LARGEST_SIDE, ocr.LARGEST_SIDE))
    if has_alpha:
        # Black text on nothing would become black text on black.
        background = Image.new("RGBA", small.size, "white")
        background.alpha_composite(small)
        small = background.convert("RGB")
    return small if turn is None else small.transpose(turn)


def _too_large(max_pixels: int) -> Unconvertible:
    return Unconvertible(
        "too_large",
        f"The image is too large: at most {max_pixels // 1_000_000} megapixels are allowed.",
    )
