"""A page of a PDF while it is read: before its layout, and what is compared with that."""

from msgspec import Struct

from ilios.engines.layout.items import Figure, Item, PageItems
from ilios.engines.pdf.images import PageImages
from ilios.engines.pdf.links import Link
from ilios.engines.recognition.ocr import ImageText
from schemas.results import PageHeading, PageTable, ReadingMethod
from schemas.warnings import PageWarning


class Draft(Struct):
    """A page before its layout.

    ``layer`` is the text that has to be conserved. ``parts`` are turned pieces, each laid out by
    itself; a page that was ``recognised`` has neither. ``outline`` are the items of such
    a page by its text layer, and of one that is not converted, for the style of its document.
    ``values`` are those of form fields, and text typed onto the page. The items are ``turned`` by
    quarter turns from the page as shown.
    """

    index: int
    size: tuple[float, float] = (0.0, 0.0)
    layer: str = ""
    items: PageItems | None = None
    outline: PageItems | None = None
    parts: list[PageItems] = []
    recognised: ImageText | None = None
    method: ReadingMethod = "text_layer"
    comments: tuple[Figure, ...] = ()
    values: tuple[Item, ...] = ()
    tables: tuple[PageTable, ...] = ()
    headings: tuple[PageHeading, ...] = ()
    links: tuple[Link, ...] = ()
    targets: tuple[str, ...] = ()
    warnings: list[PageWarning] = []
    fields: int = 0
    images: PageImages = PageImages()
    turned: int = 0
    by_characters: bool = False
    disputed: bool = False

    @property
    def parsed_text(self) -> str:
        """The text of the page as the parser has it."""
        items = self.items.items if self.items else ()
        return "\n".join(item.text for item in items if item not in self.values)
