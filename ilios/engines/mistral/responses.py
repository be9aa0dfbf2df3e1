"""Parsing of OCR responses: pages with complete Markdown, and their images."""

import base64
import binascii
import re
from collections.abc import Callable, Sequence

from ilios.engines.mistral.errors import ApiError
from ilios.engines.mistral.ocr import OcrConfidence, OcrImage, OcrPage, OcrResponse, OcrTable
from ilios.engines.page_images import image_name, resolve_links
from ilios.engines.results import EngineResult
from schemas.results import (
    Box,
    PageConfidence,
    PageDimensions,
    PageImage,
    PageResult,
    PageTable,
)

_DATA_URL = re.compile(r"data:image/([a-z0-9.+-]{1,20});base64,", re.IGNORECASE)
_ENDINGS = {"jpeg": "jpeg", "jpg": "jpeg", "png": "png", "gif": "gif", "webp": "webp"}


def parse_response(
    response: OcrResponse,
    indices: Sequence[int] | None,
    image_url: Callable[[str], str],
) -> EngineResult:
    """Return the result in a response.

    :param indices: the pages that the response must have, counted from 0; None is all pages.
    :param image_url: returns the URL of an image by its name.
    :raises ApiError: pages are missing.
    """
    came = sorted(response.pages, key=lambda page: page.index)
    if not came or (indices is not None and len(came) != len(indices)):
        what = "no pages" if indices is None else f"{len(came)} pages instead of {len(indices)}"
        raise ApiError("lost", "engine_failed", f"Mistral answered with {what}")
    numbers = range(len(came)) if indices is None else indices
    images: dict[str, bytes] = {}
    pages = tuple(_page(page, n, images, image_url) for page, n in zip(came, numbers, strict=True))
    return EngineResult(
        pages, images, "mistral", response.model, response.usage_info.pages_processed
    )


def _page(
    page: OcrPage,
    number: int,
    images: dict[str, bytes],
    image_url: Callable[[str], str],
) -> PageResult:
    shown = {image.id: _image(image, images) for image in page.images or ()}
    tables = {table.id: _table(table) for table in page.tables or ()}
    size = page.dimensions
    return PageResult(
        index=number,
        markdown=resolve_links(page.markdown, shown, tables, image_url),
        images=tuple(shown.values()),
        tables=tuple(tables.values()),
        hyperlinks=tuple(page.hyperlinks or ()),
        header=page.header or None,
        footer=page.footer or None,
        dimensions=PageDimensions(size.dpi, size.height, size.width) if size else None,
        confidence=_confidence(page.confidence_scores),
    )


def _confidence(scores: OcrConfidence | None) -> PageConfidence | None:
    if scores is None:
        return None
    average = scores.average_page_confidence_score
    minimum = scores.minimum_page_confidence_score
    return None if average is None or minimum is None else PageConfidence(average, minimum)


def _image(image: OcrImage, images: dict[str, bytes]) -> PageImage:
    corners = (image.top_left_x, image.top_left_y, image.bottom_right_x, image.bottom_right_y)
    whole = [corner for corner in corners if corner is not None]
    name = None
    if (found := _decode_image(image.image_base64 or "")) is not None:
        data, ending = found
        name = image_name(data, ending)
        images[name] = data
    return PageImage(
        id=image.id,
        name=name,
        box=Box(*whole) if len(whole) == len(corners) else None,
        annotation=image.image_annotation or None,
    )


def _decode_image(text: str) -> tuple[bytes, str] | None:
    """Return an image and the extension of its name, or None."""
    head = _DATA_URL.match(text)
    ending = _ENDINGS.get(head[1].lower() if head else "jpeg")
    if not text or ending is None:
        return None
    try:
        data = base64.b64decode(text[head.end() :] if head else text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return (data, ending) if data else None


def _table(table: OcrTable) -> PageTable:
    return PageTable(id=table.id, content=table.content, format=table.format or "unknown")
