"""Images on a page with a text layer: encoded, with their boxes."""

import io
from collections.abc import Sequence

import pypdfium2
from msgspec import Struct

from ilios.engines import page_limits
from ilios.engines.pdf.geometry import Rect
from ilios.engines.pdf.objects import FULL_PAGE, PageObjects, Picture, pixels
from schemas.results import Box, PageImage

MAX_PAGE_IMAGES = 16
MAX_IMAGE_PIXELS = 2_000_000
MAX_IMAGE_BYTES = 2_000_000
MAX_RANGE_BYTES = 24_000_000
"""Larger images, and further ones, are not handed out."""

MAX_TRIES = 20
"""Images of a page that are encoded, be they too large then or not."""

LEAST_POINTS = 24.0
LEAST_PIXELS = 32
"""Smaller ones are ornaments."""

_JPEG = b"\xff\xd8\xff"


class PageImages(Struct, frozen=True):
    """The images of a page with their places, their bytes by their id, and how many lack."""

    images: tuple[PageImage, ...] = ()
    encoded: dict[str, bytes] = {}
    rects: tuple[Rect, ...] = ()
    left_out: int = 0


class ImageExtractor:
    """Extracts the images of one document's pages."""

    def __init__(self, document: pypdfium2.PdfDocument, spent: int = 0) -> None:
        """Extract nothing yet; ``spent`` are the bytes of images of pages before."""
        self._document = document
        self._left = min(MAX_RANGE_BYTES, page_limits.MAX_IMAGE_BYTES - spent)

    def extract(self, page: pypdfium2.PdfPage, objects: PageObjects) -> PageImages:
        """Return the images of a page of a sensible size."""
        images: list[PageImage] = []
        encoded: dict[str, bytes] = {}
        rects: list[Rect] = []
        sensible = _sensible(objects)
        for picture in [one for one in sensible if _is_storable(one)][:MAX_TRIES]:
            if len(images) == MAX_PAGE_IMAGES:
                break
            data = self._encode(page, picture)
            if data is None or len(data) > min(MAX_IMAGE_BYTES, self._left):
                continue
            self._left -= len(data)
            name = f"img-{len(images)}.{'jpeg' if data.startswith(_JPEG) else 'png'}"
            encoded[name] = data
            images.append(PageImage(id=name, box=_box(picture.rect)))
            rects.append(picture.rect)
        left_out = len(sensible) - len(images) + objects.further_images
        return PageImages(tuple(images), encoded, tuple(rects), left_out)

    def _encode(self, page: pypdfium2.PdfPage, picture: Picture) -> bytes | None:
        """Return a JPEG as it is, and another image as it is shown, as a PNG."""
        image = pypdfium2.PdfObject(picture.handle, page=page, pdf=self._document)
        if not isinstance(image, pypdfium2.PdfImage):
            return None
        try:
            if image.get_filters() == ["DCTDecode"]:
                data = bytes(image.get_data(decode_simple=True))
                if data.startswith(_JPEG):
                    return data
            bitmap = image.get_bitmap(render=True, scale_to_original=True)
        except (pypdfium2.PdfiumError, ValueError):
            return None
        written = io.BytesIO()
        bitmap.to_pil().save(written, "PNG", compress_level=1)
        return written.getvalue()


def _sensible(objects: PageObjects) -> Sequence[Picture]:
    return [
        one
        for one in objects.pictures
        if min(one.rect.width, one.rect.height) >= LEAST_POINTS
        and one.rect.area <= FULL_PAGE * objects.area
        and min(pixels(one)) >= LEAST_PIXELS
    ]


def _is_storable(picture: Picture) -> bool:
    width, height = pixels(picture)
    return width * height <= MAX_IMAGE_PIXELS


def _box(rect: Rect) -> Box:
    return Box(round(rect.left), round(rect.top), round(rect.right), round(rect.bottom))
