"""Embedded pictures: their bytes, once each, and their places in the Markdown."""

from ilios.engines.converters.opc import Package, UnreadablePart
from ilios.engines.page_images import image_ending
from ilios.engines.page_limits import MAX_ANNOTATION, MAX_IMAGE_BYTES, MAX_PAGE_IMAGES, ImageBudget
from schemas.results import PageImage

_BRACKETS = str.maketrans("[]\\", "()/")


class Pictures:
    """The pictures of a document. Those that are too large or too many are only described."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._budget = ImageBudget()
        self._ids: dict[str, str | None] = {}
        self.images: list[PageImage] = []
        self.encoded: dict[str, bytes] = {}
        self.left_out = 0
        self.stored = True
        """Whether further pictures are stored: those of headers cannot be linked."""
        self.unreadable: list[str] = []
        self.other_kinds: list[str] = []

    def place(self, part: str | None, description: str, *, preview: bool = False) -> str:
        """Return the Markdown of a picture: a link, or without its bytes its description.

        A ``preview`` is that of an embedded file, which has a warning of its own.
        """
        if preview and part and part.lower().endswith((".emf", ".wmf")):
            part = None
        name = self._id(part, description) if part and self.stored else None
        alternative = description.translate(_BRACKETS)
        if name is not None:
            return f"![{alternative or name}]({name})"
        return f"![{alternative}]()" if alternative else ""

    def _id(self, part: str, description: str) -> str | None:
        if part not in self._ids:
            self._ids[part] = self._take(part, description)
        return self._ids[part]

    def _take(self, part: str, description: str) -> str | None:
        if len(self.images) >= MAX_PAGE_IMAGES or self._package.size(part) > MAX_IMAGE_BYTES:
            self.left_out += 1
            return None
        try:
            data = self._package.read(part)
        except UnreadablePart:
            self.unreadable.append(part)
            return None
        ending = image_ending(data)
        if ending is None:
            self.other_kinds.append(part.rpartition(".")[2].lower())
            return None
        if not self._budget.take(data):
            self.left_out += 1
            return None
        name = f"img-{len(self.images)}.{ending}"
        annotation = description[:MAX_ANNOTATION] or None
        self.images.append(PageImage(id=name, annotation=annotation))
        self.encoded[name] = data
        return name
