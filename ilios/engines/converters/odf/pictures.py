"""Images of a page of an OpenDocument file."""

from ilios.engines.converters import markdown
from ilios.engines.page_images import image_ending
from ilios.engines.page_limits import IMAGES_LEFT_OUT, MAX_ANNOTATION, MAX_PAGE_IMAGES
from schemas.results import PageImage
from schemas.warnings import PageWarning, page_warning

_BRACKETS = str.maketrans("[]", "()")


class Pictures:
    """The images of one page, in the order in which they are shown."""

    def __init__(self) -> None:
        self.images: list[PageImage] = []
        self.data: dict[str, bytes] = {}
        self._left_out = 0

    @property
    def warnings(self) -> tuple[PageWarning, ...]:
        """A warning where there are images that are not stored."""
        return (page_warning(IMAGES_LEFT_OUT, str(self._left_out)),) if self._left_out else ()

    def add(self, data: bytes | None, alternative: str) -> str:
        """Return Markdown for an image; its alternative text only where it cannot be stored."""
        alternative = markdown.one_line(alternative).translate(_BRACKETS)[:MAX_ANNOTATION]
        ending = image_ending(data) if data else None
        if data is None or ending is None or len(self.images) >= MAX_PAGE_IMAGES:
            self._left_out += 1
            return alternative
        name = f"image-{len(self.images) + 1}.{ending}"
        self.images.append(PageImage(name, annotation=alternative or None))
        self.data[name] = data
        return f"![{alternative}]({name})"
