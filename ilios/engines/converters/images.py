"""Images to Markdown: the text of every frame is recognised."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from PIL import Image

from actors.content_types import HEIC
from actors.engines import Unconvertible, report_drafts
from actors.sniffing import SNIFF_LENGTH, sniff
from ilios.engines.converters import heif
from ilios.engines.converters.frames import prepare_copies
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import WHOLE, ConvertedPage, Pages, Reading, model_name, selected_indices
from ilios.engines.recognition import ocr, tiles
from schemas.results import PageDimensions, PageResult
from schemas.warnings import page_warning

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000")
SINGLE_PAGE_FORMATS = ("BMP", "JPEG", "JPEG2000", "MPO")
"""Further frames of these are previews and not pages."""

ANIMATION_FORMATS = ("GIF", "WEBP", "PNG", "AVIF")
MAX_ANIMATION_FRAMES = 100
"""Frames of an animation that are pages; a warning names the ones after them."""

MAX_COUNTED_FRAMES = 10_000
"""Counting takes the square of the time."""

DEFAULT_DPI, MAX_DPI = 72, 10_000


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading = WHOLE
) -> Pages:
    """Convert an image; see :class:`ilios.engines.converters.registry.Converter`."""
    pages: list[ConvertedPage] = []
    with _opened(path, limits) as image:
        # Counting takes time for each frame: no more are counted than matter.
        last = reading.ranges[-1].last if reading.ranges else None
        first = reading.ranges[-1].first if reading.ranges else 1
        limit = last or first + limits.max_pages
        count, cut_off = _count(image, limit)
        selected = selected_indices(reading.ranges, count)
        if len(selected) > limits.max_pages:
            raise Unconvertible(
                "too_many_pages",
                f"The image has too many pages; at most {limits.max_pages} are allowed.",
            )
        indices = reading.portion.of(selected)
        total = len(selected) - reading.portion.first
        progress(0, total)
        reader = ocr.ImageReader(reading.languages)
        for index in indices:
            if pages and reading.portion.is_over:
                break
            image.seek(index)
            if image.width * image.height > limits.max_pixels:
                raise _too_large(limits.max_pixels)
            frame, finer = _decoded(image, tiles.most_pixels(len(selected)))
            if count == 1:
                image.close()  # decoded, an image at the size limit needs as much as the models
            progress(len(pages), total)  # it is decoded
            if reading.recognition == "never":
                result = _unread(index)
            else:
                text = reader.read(frame, lambda: progress(len(pages), total), finer=finer)
                result = _page(index, text, _dpi(image, frame))
            if cut_off and index == count - 1:
                warning = page_warning("frames_not_read", str(count))
                result = msgspec.structs.replace(result, warnings=(*result.warnings, warning))
            pages.append(ConvertedPage(result))
            progress(len(pages), total)
            if len(pages) < total:
                report_drafts(progress, [result])
    unread = reading.recognition == "never"
    return Pages(pages, model_name("pillow") if unread else reader.model, len(selected))


def count_pages(path: Path) -> int:
    """Return how many pages an image has.

    :raises Unconvertible: it is damaged.
    """
    with _errors_named(), Image.open(path, formats=FORMATS) as image:
        return _count(image, MAX_COUNTED_FRAMES)[0]


@contextmanager
def _opened(path: Path, limits: EngineLimits) -> Iterator[Image.Image]:
    # Our own limit is checked before anything is decoded; Pillow's only warns at first.
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    try:
        with _errors_named():
            if _is_heic(path):
                decoded = heif.decode(path, limits.max_pixels, limits.heif)
                if decoded is None:
                    raise _too_large(limits.max_pixels)
                yield decoded
            else:
                with Image.open(path, formats=FORMATS) as image:
                    yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(limits.max_pixels) from error


def _is_heic(path: Path) -> bool:
    with path.open("rb") as file:
        return sniff(file.read(SNIFF_LENGTH), b"") == HEIC


@contextmanager
def _errors_named() -> Iterator[None]:
    try:
        yield
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # an error of the machine
        raise _damaged() from error


def _decoded(image: Image.Image, most_pixels: int) -> tuple[Image.Image, tiles.Finer | None]:
    try:
        return prepare_copies(image, most_pixels)
    except RuntimeError as error:  # of the AVIF decoder
        raise _damaged() from error


def _count(image: Image.Image, limit: int) -> tuple[int, bool]:
    """Return how many pages an image has, or ``limit``, and whether there are frames after them.

    Not by ``n_frames``: it counts all, and is wrong after a seek beyond the end.
    """
    if image.format is None or image.format in SINGLE_PAGE_FORMATS:
        return 1, False
    animation = image.format in ANIMATION_FORMATS
    limit = min(limit, MAX_ANIMATION_FRAMES) if animation else limit
    count = 0
    try:
        while count < limit:
            image.seek(count)
            count += 1
        if animation and limit == MAX_ANIMATION_FRAMES:
            image.seek(count)
            return count, True
    except EOFError:
        pass
    return count, False


def _page(index: int, text: ocr.ImageText, dpi: int) -> PageResult:
    size = text.recognised
    laid_out = text.page(index)
    return PageResult(
        index=index,
        markdown=laid_out.markdown,
        headings=laid_out.headings,
        tables=laid_out.tables,
        dimensions=PageDimensions(dpi=dpi, height=size.height, width=size.width),
        confidence=text.confidence,
        method="recognition",
        warnings=text.warnings,
    )


def _unread(index: int) -> PageResult:
    return PageResult(index=index, markdown="", warnings=(page_warning("image_text_unread"),))


def _dpi(image: Image.Image, frame: Image.Image) -> int:
    """Return the resolution of a prepared frame, ``DEFAULT_DPI`` if the image names none."""
    named = image.info.get("dpi")
    try:
        dpi = float(named[0]) if isinstance(named, tuple) else 0.0
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        dpi = 0.0
    if not 1 <= dpi <= MAX_DPI:
        return DEFAULT_DPI
    return max(1, round(dpi * max(frame.size) / max(image.size)))


def _damaged() -> Unconvertible:
    return Unconvertible("corrupt", "The image is damaged: it cannot be decoded.")


def _too_large(max_pixels: int) -> Unconvertible:
    return Unconvertible(
        "too_large",
        f"The image is too large: at most {max_pixels // 1_000_000} megapixels are allowed.",
    )
