"""Images to Markdown: OCR of every frame that is a page."""

import warnings
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from PIL.Image import Transpose

from actors.engines import Unconvertible
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import (
    WHOLE,
    Pages,
    Portion,
    Ranges,
    markdown_pages,
    model_name,
    selected_indices,
)
from ilios.engines.recognition import ocr

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "MPO")
SINGLE_PAGE_FORMATS = ("GIF", "WEBP", "PNG", "MPO")
"""Frames of these are animation steps or previews, not pages; only the first is read."""

MAX_COUNTED_FRAMES = 10_000
"""Counting takes the square of the time."""

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


def convert(
    path: Path,
    limits: EngineLimits,
    progress: Callable[[int, int], None],
    ranges: Ranges = (),
    portion: Portion = WHOLE,
) -> Pages:
    """Convert an image; see :class:`ilios.engines.converters.registry.Converter`."""
    # Our own limit is checked before anything is decoded; Pillow's only warns at first.
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    pages: list[str] = []
    try:
        with Image.open(path, formats=FORMATS) as image:
            # Counting takes time for each frame: no more are counted than matter.
            last = ranges[-1].last if ranges else None
            first = ranges[-1].first if ranges else 1
            count = _count(image, last or first + limits.max_pages)
            selected = selected_indices(ranges, count)
            if len(selected) > limits.max_pages:
                raise Unconvertible(
                    "too_many_pages",
                    f"The image has too many pages; at most {limits.max_pages} are allowed.",
                )
            indices = portion.of(selected)
            total = len(indices)
            progress(0, total)
            reader = ocr.ImageReader()
            for index in indices:
                if pages and portion.is_over:
                    break
                image.seek(index)
                if image.width * image.height > limits.max_pixels:
                    raise _too_large(limits.max_pixels)
                frame = _prepare_for_ocr(image)
                progress(len(pages), total)  # it is decoded
                pages.append(reader.read(frame, lambda: progress(len(pages), total)))
                progress(len(pages), total)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(limits.max_pixels) from error
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # an error of the machine
        raise _damaged() from error
    done = markdown_pages(indices[: len(pages)], pages)
    return Pages(done, model_name("rapidocr"), len(selected))


def count_pages(path: Path) -> int:
    """Return how many pages an image has.

    :raises Unconvertible: it is damaged.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            return _count(image, MAX_COUNTED_FRAMES)
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _damaged() from error


def _count(image: Image.Image, limit: int) -> int:
    """Return how many pages an image has, or ``limit`` if there are more.

    Not by ``n_frames``: it counts all, and is wrong after a seek beyond the end.
    """
    if image.format in SINGLE_PAGE_FORMATS:
        return 1
    count = 0
    try:
        while count < limit:
            image.seek(count)
            count += 1
    except EOFError:
        pass
    return count


def _damaged() -> Unconvertible:
    return Unconvertible("corrupt", "The image is damaged: it cannot be decoded.")


def _prepare_for_ocr(frame: Image.Image) -> Image.Image:
    """Return a frame upright, on white, and no larger than OCR needs.

    It is made small first: three copies of an image at the size limit exceed a child's memory.
    """
    frame.draft("RGB", (ocr.LARGEST_SIDE, ocr.LARGEST_SIDE))  # a JPEG is decoded small at once
    frame.load()
    turn = EXIF_TRANSPOSE.get(frame.getexif().get(ORIENTATION, 1))
    has_alpha = frame.mode in ("RGBA", "LA", "PA") or "transparency" in frame.info
    small = frame.convert("RGBA" if has_alpha else "RGB")
    small.thumbnail((ocr.LARGEST_SIDE, ocr.LARGEST_SIDE))
    if has_alpha:
        # Black text on a transparent background would become black on black.
        background = Image.new("RGBA", small.size, "white")
        background.alpha_composite(small)
        small = background.convert("RGB")
    return small if turn is None else small.transpose(turn)


def _too_large(max_pixels: int) -> Unconvertible:
    return Unconvertible(
        "too_large",
        f"The image is too large: at most {max_pixels // 1_000_000} megapixels are allowed.",
    )
