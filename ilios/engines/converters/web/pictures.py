"""Pictures embedded in a document: their bytes beside the page, and their place in its Markdown."""

import base64
import binascii
from urllib.parse import unquote_to_bytes

from ilios.engines.converters.markdown import one_line
from ilios.engines.page_images import image_ending
from ilios.engines.page_limits import MAX_IMAGE_BYTES, MAX_PAGE_IMAGES
from schemas.results import PageImage
from schemas.warnings import PageWarning, page_warning

_LEAST_BYTES = 100
"""Smaller ones are dots that hold a place."""

_MAX_ALT = 1000


class Room:
    """Bytes of pictures that a document may still have."""

    def __init__(self) -> None:
        self._left = MAX_IMAGE_BYTES

    def take(self, size: int) -> bool:
        """Whether there is room for a picture."""
        if size > self._left:
            return False
        self._left -= size
        return True


class Pictures:
    """The pictures of one page, in order."""

    def __init__(self, room: Room | None = None) -> None:
        self.images: list[PageImage] = []
        self.data: dict[str, bytes] = {}
        self._room = room or Room()
        self._left_out = 0

    def add(self, data: bytes | None, alt: str | None) -> str:
        """Return the Markdown of a picture; without bytes that can be shown, its description."""
        described = one_line(alt or "")[:_MAX_ALT].replace("[", "(").replace("]", ")")
        target = self._store(data) if data and len(data) >= _LEAST_BYTES else ""
        return f"![{described}]({target})" if target or described else ""

    def warnings(self) -> tuple[PageWarning, ...]:
        """Return the warning about pictures that are left out, if there are any."""
        if not self._left_out:
            return ()
        return (page_warning("images_left_out", str(self._left_out)),)

    def _store(self, data: bytes) -> str:
        ending = image_ending(data)
        if ending is None:
            return ""
        if len(self.images) >= MAX_PAGE_IMAGES or not self._room.take(len(data)):
            self._left_out += 1
            return ""
        name = f"img-{len(self.images)}.{ending}"
        self.images.append(PageImage(id=name))
        self.data[name] = data
        return name


def data_of_url(url: str) -> bytes | None:
    """Return the bytes in a ``data:`` URL of an image (RFC 2397), or None."""
    head, comma, body = url.partition(",")
    kind = head.strip().lower()
    if not comma or not kind.startswith("data:image/") or len(body) > 2 * MAX_IMAGE_BYTES:
        return None
    data = unquote_to_bytes(body)
    if not kind.endswith(";base64"):
        return data
    try:
        return base64.b64decode(b"".join(data.split()))
    except (binascii.Error, ValueError):
        return None
