"""Pictures on slides: their bytes within bounds, and their descriptions."""

from typing import Any

from ilios.engines.converters import inline, markdown
from ilios.engines.converters.opc import Package, Relationship, UnreadablePart
from ilios.engines.converters.slides.names import A, R, is_on, local
from ilios.engines.converters.slides.order import Box
from ilios.engines.page_images import image_ending
from ilios.engines.page_limits import MAX_PAGE_IMAGES, ImageBudget
from schemas.results import Box as PixelBox
from schemas.results import PageImage

LEAST_POINTS = 18.0
"""Smaller pictures without a description are ornaments."""

MAX_BYTES = 8 * 1024 * 1024
"""Larger pictures are only described."""

_BRACKETS = str.maketrans("[]\\", "()/")


class Pictures:
    """Reads pictures from the package; a picture of several slides counts for each of them."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._budget = ImageBudget()

    def read(self, part: str) -> bytes | None:
        """Return a picture that can be stored, None if it is too large or one too many.

        :raises UnreadablePart: it is absent, damaged, or of a kind that is not stored.
        """
        if self._package.size(part) > MAX_BYTES:
            return None
        data = self._package.read(part)
        if image_ending(data) is None:
            raise UnreadablePart(part)
        return data if self._budget.take(data) else None


class SlidePictures:
    """The pictures of one slide."""

    def __init__(self, pictures: Pictures, relationships: dict[str, Relationship]) -> None:
        self._pictures = pictures
        self._relationships = relationships
        self.images: list[PageImage] = []
        self.encoded: dict[str, bytes] = {}
        self.left_out = 0
        self.unreadable: list[str] = []

    def write(self, element: Any, box: Box | None) -> str:
        """Return the Markdown of a ``p:pic``: a link to its bytes, or its description."""
        properties = element[0].find("*") if len(element) else None
        alt = description(properties)
        if box is not None and min(box.right - box.left, box.bottom - box.top) < LEAST_POINTS:
            return f"![{alt}]()" if alt else ""
        name = "" if _is_decorative(properties) else self._store(element, box)
        if name:
            return f"![{alt or name}]({name})"
        return f"![{alt}]()" if alt else ""

    def _store(self, element: Any, box: Box | None) -> str:
        blip = element.find(f".//{A}blip")
        found = None if blip is None else self._relationships.get(blip.get(f"{R}embed", ""))
        if found is None or found.external:  # a linked picture is not fetched
            return ""
        if len(self.images) >= MAX_PAGE_IMAGES:
            self.left_out += 1
            return ""
        try:
            data = self._pictures.read(found.target)
        except UnreadablePart as error:
            self.unreadable.append(str(error).rpartition("/")[2])
            return ""
        if data is None:
            self.left_out += 1
            return ""
        name = f"img-{len(self.images)}.{image_ending(data)}"
        self.images.append(PageImage(id=name, box=_pixels(box)))
        self.encoded[name] = data
        return name


def description(properties: Any) -> str:
    """Return the alternative text of a shape, by its ``p:cNvPr``, for a Markdown image."""
    if properties is None:
        return ""
    text = properties.get("descr") or ""
    return inline.escape(markdown.one_line(text).translate(_BRACKETS))


def _is_decorative(properties: Any) -> bool:
    """Whether the author has marked a picture as an ornament."""
    if properties is None:
        return False
    marks = (one for one in properties.iter() if local(one) == "decorative")
    return any(is_on(one.get("val")) for one in marks)


def _pixels(box: Box | None) -> PixelBox | None:
    if box is None:
        return None
    return PixelBox(round(box.left), round(box.top), round(box.right), round(box.bottom))
