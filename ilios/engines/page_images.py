"""Images of pages: their names, which are derived from their bytes, and the links to them."""

import hashlib
import re
from collections.abc import Callable, Mapping

import msgspec

from schemas.results import PageImage, PageResult, PageTable

NAME_DIGITS = 32  # hexadecimal, of the SHA-256 of an image

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
)
_LINK = re.compile(r"(!?)\[([^\[\]]*)\]\(([^()\s]+)\)")


def image_name(data: bytes, ending: str) -> str:
    """Return the name of an image in the blob store and in the HTTP API."""
    return f"{hashlib.sha256(data).hexdigest()[:NAME_DIGITS]}.{ending}"


def image_ending(data: bytes) -> str | None:
    """Return the extension for an image by its first bytes; None if it is of no supported kind."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((ending for start, ending in _SIGNATURES if data.startswith(start)), None)


def image_path(document_id: str, name: str) -> str:
    """Return the path of an image of a page in the HTTP API."""
    return f"/api/documents/{document_id}/images/{name}"


def resolve_links(
    markdown: str,
    images: Mapping[str, PageImage],
    tables: Mapping[str, PageTable],
    image_url: Callable[[str], str],
) -> str:
    """Replace the placeholders of tables by the tables, and the targets of images by their URLs.

    An image without bytes has no URL: its description stays, if it has one.
    """

    def put(link: re.Match[str]) -> str:
        mark, text, target = link.groups()
        if mark and target in images:
            name = images[target].name
            described = f"![{text}]()" if text and text != target else ""
            return f"![{text}]({image_url(name)})" if name else described
        if not mark and target in tables and text == target:
            return tables[target].content
        return link[0]

    return _LINK.sub(put, markdown)


def without_images(page: PageResult) -> PageResult:
    """Return a page whose images are not stored: of each its description is left."""
    if not page.images:
        return page
    images = {image.id: msgspec.structs.replace(image, name=None) for image in page.images}
    markdown = resolve_links(page.markdown, images, {}, str)
    return msgspec.structs.replace(page, markdown=markdown, images=())
