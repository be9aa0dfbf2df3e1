"""Pictures of a sheet: those that can be shown are images of the page, named by their bytes."""

from ilios.engines.converters import markdown
from ilios.engines.converters.sheets.cells import Sheet
from ilios.engines.page_images import image_ending, image_name
from ilios.engines.page_limits import MAX_ANNOTATION, MAX_PAGE_IMAGES
from schemas.results import PageImage


class Pictures:
    """The pictures of one page."""

    def __init__(self) -> None:
        self.bytes: dict[str, bytes] = {}

    @property
    def images(self) -> tuple[PageImage, ...]:
        """The images for the result of the page."""
        return tuple(PageImage(name) for name in self.bytes)

    def add(self, data: bytes, described: str, sheet: Sheet) -> str:
        """Return a picture as Markdown; one of a kind that browsers do not show is counted."""
        text = markdown.one_line(described)[:MAX_ANNOTATION]
        text = text.replace("\\", "").replace("[", "(").replace("]", ")")
        ending = image_ending(data)
        name = image_name(data, ending) if ending else ""
        if not ending or (name not in self.bytes and len(self.bytes) >= MAX_PAGE_IMAGES):
            sheet.left_out["pictures"] += 1
            return f"![{text}]()" if text else ""
        self.bytes[name] = data
        return f"![{text}]({name})"
