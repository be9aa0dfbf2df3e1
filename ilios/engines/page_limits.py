"""Bounds of converted pages: fitting the pages of a converter into them, and checking them.

The child fits its pages, and the engine checks what it receives: a document may have taken the
child over, whose pages become blobs, rows and events.
"""

import math
import re
from collections.abc import Sequence

from msgspec import structs

from ilios.engines.page_images import image_ending, resolve_links
from ilios.engines.pages import ConvertedPage
from schemas.results import Box, PageConfidence, PageDimensions, PageImage, PageResult
from schemas.warnings import MESSAGES, PageWarning, page_warning

MAX_PAGE_IMAGES = 100
MAX_IMAGES = 1000
"""Images of one document."""
MAX_IMAGE_BYTES = 32 * 1024 * 1024
"""Bytes of all images of one document."""
MAX_PAGE_WARNINGS = 16
MAX_SIDE = 1_000_000  # pixels of a page
MAX_DPI = 10_000
MAX_ANNOTATION = 1000  # characters
MAX_PAGE_ITEMS = 20_000
"""Headings, tables or links of one page, each."""
MAX_LINK = 10_000  # characters; longer ones are no addresses

IMAGES_LEFT_OUT = "images_left_out"

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class ImpossiblePage(ValueError):
    """A page is outside of its bounds, or contradicts itself."""


class ImageBudget:
    """Images that a document may still have; ``images`` of ``size`` bytes it has already."""

    def __init__(self, images: int = 0, size: int = 0) -> None:
        self._images = MAX_IMAGES - images
        self._bytes = MAX_IMAGE_BYTES - size

    def take(self, data: bytes) -> bool:
        """Whether this image is within the bounds."""
        if self._images <= 0 or len(data) > self._bytes or image_ending(data) is None:
            return False
        self._images -= 1
        self._bytes -= len(data)
        return True


def fit_pages(
    pages: Sequence[ConvertedPage], budget: ImageBudget | None = None
) -> tuple[ConvertedPage, ...]:
    """Return pages within the bounds; a page whose images are left out has a warning."""
    budget = budget or ImageBudget()
    return tuple(_fit_page(page, budget) for page in pages)


def text_sizes(pages: Sequence[ConvertedPage]) -> dict[str, int]:
    """Return how many characters the pages have of each kind of text."""
    results = [page.result for page in pages]
    return {
        "Markdown": sum(len(one.markdown) for one in results),
        "headers and footers": sum(
            len(one.header or "") + len(one.footer or "") for one in results
        ),
        "headings": sum(len(heading.text) for one in results for heading in one.headings),
        "tables": sum(len(table.content) for one in results for table in one.tables),
        "links": sum(len(link) for one in results for link in one.hyperlinks),
    }


def check_pages(pages: Sequence[ConvertedPage]) -> None:
    """Make sure that the pages are within the bounds.

    :raises ImpossiblePage: they are not.
    """
    count = size = 0
    for page in pages:
        _check_page(page)
        count += len(page.image_bytes)
        size += sum(map(len, page.image_bytes.values()))
    if count > MAX_IMAGES or size > MAX_IMAGE_BYTES:
        raise ImpossiblePage(f"{count} images of {size} bytes")


def _fit_page(page: ConvertedPage, budget: ImageBudget) -> ConvertedPage:
    if page.result.images:
        page = _fit_images(page, budget)
    result = _fit_lists(page.result)
    if result is not page.result:
        page = ConvertedPage(result, page.image_bytes)
    if all(_is_share(share) for share in _shares(result)):
        return page
    confidence = result.confidence
    if confidence is not None:
        average, minimum = _fit_share(confidence.average), _fit_share(confidence.minimum)
        confidence = PageConfidence(average, minimum)
    conservation = None if result.conservation is None else _fit_share(result.conservation)
    fitted = structs.replace(result, conservation=conservation, confidence=confidence)
    return ConvertedPage(fitted, page.image_bytes)


def _fit_lists(page: PageResult) -> PageResult:
    """Return a page with as many warnings, headings, tables and links as are allowed.

    The last three are in the Markdown as well.
    """
    if page.warnings:
        page = structs.replace(page, warnings=_fit_warnings(page.warnings))
    if max(len(page.headings), len(page.tables), len(page.hyperlinks)) > MAX_PAGE_ITEMS or any(
        len(link) > MAX_LINK for link in page.hyperlinks
    ):
        links = [link for link in page.hyperlinks if len(link) <= MAX_LINK]
        page = structs.replace(
            page,
            headings=page.headings[:MAX_PAGE_ITEMS],
            tables=page.tables[:MAX_PAGE_ITEMS],
            hyperlinks=tuple(links[:MAX_PAGE_ITEMS]),
        )
    return page


def _fit_warnings(warnings: Sequence[PageWarning]) -> tuple[PageWarning, ...]:
    """Return so many warnings as are allowed, with spaces in place of control characters."""
    return tuple(
        PageWarning(one.code, "".join(c if c.isprintable() else " " for c in one.message))
        for one in warnings[:MAX_PAGE_WARNINGS]
    )


def _fit_share(value: float) -> float:
    """Return a share within 0 and 1; the lower end for what is no number."""
    return 0.0 if math.isnan(value) else min(max(value, 0.0), 1.0)


def _fit_images(page: ConvertedPage, budget: ImageBudget) -> ConvertedPage:
    result = page.result
    images = tuple(_fit_box(image, result.dimensions) for image in result.images[:MAX_PAGE_IMAGES])
    ids = {image.id for image in images}
    stored = {
        name: data for name, data in page.image_bytes.items() if name in ids and budget.take(data)
    }
    warnings = result.warnings
    markdown = result.markdown
    left_out = max(len(page.image_bytes) - len(stored), len(result.images) - len(images))
    if left_out:
        warning = page_warning(IMAGES_LEFT_OUT, str(left_out))
        warnings = (*warnings[: MAX_PAGE_WARNINGS - 1], warning)
        # Of an image that is not listed, nothing else shows that its target is a placeholder.
        unlisted = {image.id: image for image in result.images[MAX_PAGE_IMAGES:]}
        markdown = resolve_links(markdown, unlisted, {}, str)
    fitted = structs.replace(result, markdown=markdown, images=images, warnings=warnings)
    return ConvertedPage(fitted, stored)


def _fit_box(image: PageImage, dimensions: PageDimensions | None) -> PageImage:
    if image.box is None or dimensions is None:
        return image
    left, right = sorted((image.box.top_left_x, image.box.bottom_right_x))
    top, bottom = sorted((image.box.top_left_y, image.box.bottom_right_y))
    width, height = dimensions.width, dimensions.height
    box = Box(
        min(max(left, 0), width),
        min(max(top, 0), height),
        min(max(right, 0), width),
        min(max(bottom, 0), height),
    )
    return structs.replace(image, box=box)


def _check_page(page: ConvertedPage) -> None:
    result = page.result
    if not all(_is_share(share) for share in _shares(result)):
        raise ImpossiblePage("a conservation or confidence that is no share")
    _check_dimensions(result.dimensions)
    _check_images(page)
    _check_lists(result)
    _check_parts(result)


def _check_lists(result: PageResult) -> None:
    for what, count in (
        ("headings", len(result.headings)),
        ("tables", len(result.tables)),
        ("links", len(result.hyperlinks)),
    ):
        if count > MAX_PAGE_ITEMS:
            raise ImpossiblePage(f"{count} {what} on a page, at most {MAX_PAGE_ITEMS}")
    if (longest := max(map(len, result.hyperlinks), default=0)) > MAX_LINK:
        raise ImpossiblePage(f"a link of {longest} characters, at most {MAX_LINK}")


def _check_parts(result: PageResult) -> None:
    if len(result.warnings) > MAX_PAGE_WARNINGS:
        raise ImpossiblePage(f"{len(result.warnings)} warnings")
    for warning in result.warnings:
        if warning.code not in MESSAGES or not warning.message.isprintable():
            raise ImpossiblePage(f"a warning {warning.code}")
    for heading in result.headings:
        if not 1 <= heading.level <= 6:
            raise ImpossiblePage(f"a heading of level {heading.level}")
    for table in result.tables:
        if not _ID.fullmatch(table.id) or table.format not in ("markdown", "html"):
            raise ImpossiblePage("a table without a valid id or format")


def _shares(result: PageResult) -> list[float]:
    shares = [] if result.conservation is None else [result.conservation]
    if result.confidence is not None:
        shares += [result.confidence.average, result.confidence.minimum]
    return shares


def _is_share(value: float) -> bool:
    return 0 <= value <= 1  # not what is no number


def _check_dimensions(size: PageDimensions | None) -> None:
    if size is None:
        return
    if not (0 < size.dpi <= MAX_DPI and 0 < size.width <= MAX_SIDE and 0 < size.height <= MAX_SIDE):
        raise ImpossiblePage(f"a page of {size.width} x {size.height} pixels at {size.dpi} dpi")


def _check_images(page: ConvertedPage) -> None:
    images = page.result.images
    if len(images) > MAX_PAGE_IMAGES:
        raise ImpossiblePage(f"{len(images)} images on a page")
    for image in images:
        if not _ID.fullmatch(image.id) or image.name is not None:
            raise ImpossiblePage("an image without a valid id, or with a name")
        if len(image.annotation or "") > MAX_ANNOTATION:
            raise ImpossiblePage(f"an annotation of {len(image.annotation or '')} characters")
        if image.box is not None:
            _check_box(image.box, page.result.dimensions)
    if len({image.id for image in images}) < len(images):
        raise ImpossiblePage("two images of a page with the same id")
    if not page.image_bytes.keys() <= {image.id for image in images}:
        raise ImpossiblePage("the bytes of an image that is not on the page")
    if any(image_ending(data) is None for data in page.image_bytes.values()):
        raise ImpossiblePage("an image of no supported kind")


def _check_box(box: Box, size: PageDimensions | None) -> None:
    right, bottom = (size.width, size.height) if size else (MAX_SIDE, MAX_SIDE)
    if not (
        0 <= box.top_left_x <= box.bottom_right_x <= right
        and 0 <= box.top_left_y <= box.bottom_right_y <= bottom
    ):
        raise ImpossiblePage("an image that is not on its page")
