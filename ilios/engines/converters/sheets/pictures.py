"""Pictures of a sheet: those that can be shown are images of the page, named by their bytes."""

from collections.abc import Callable

from ilios.engines.converters import markdown
from ilios.engines.converters.sheets.cells import Sheet
from ilios.engines.page_images import image_ending, image_name
from ilios.engines.page_limits import MAX_ANNOTATION, MAX_IMAGE_BYTES, MAX_PAGE_IMAGES
from schemas.results import PageImage


class Pictures:
    """The pictures of one page."""

    def __init__(self) -> None:
        self.bytes: dict[str, bytes] = {}
        self._names: dict[str, str] = {}

    @property
    def images(self) -> tuple[PageImage, ...]:
        """The images for the result of the page."""
        return tuple(PageImage(name) for name in self.bytes)

    def add(self, part: str, read: Callable[[], bytes], described: str, sheet: Sheet) -> str:
        """Return a picture as Markdown; one of a kind that browsers do not show is counted.

        :param read: returns the bytes of the part; called once for each part.
        """
        text = markdown.one_line(described)[:MAX_ANNOTATION]
        text = text.replace("\\", "").replace("[", "(").replace("]", ")")
        if not part or part not in self._names:
            self._names[part] = self._store(read())
        name = self._names[part]
        if not name:
            sheet.left_out["pictures"] += 1
            return f"![{text}]()" if text else ""
        return f"![{text}]({name})"

    def _store(self, data: bytes) -> str:
        """Return the name of a picture; empty if it is not stored."""
        ending = image_ending(data)
        if not ending:
            return ""
        name = image_name(data, ending)
        size = sum(map(len, self.bytes.values())) + len(data)
        if name not in self.bytes and (
            len(self.bytes) >= MAX_PAGE_IMAGES or size > MAX_IMAGE_BYTES
        ):
            return ""
        self.bytes[name] = data
        return name
