"""A slide as a page: title, shapes in reading order, notes and comments."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from ilios.engines.converters import markdown
from ilios.engines.converters.grid import GridFull
from ilios.engines.converters.opc import UnreadablePart
from ilios.engines.converters.slides import text
from ilios.engines.converters.slides.comments import comments
from ilios.engines.converters.slides.deck import Deck
from ilios.engines.converters.slides.frames import FrameWriter
from ilios.engines.converters.slides.names import A, P, local
from ilios.engines.converters.slides.notices import Notices
from ilios.engines.converters.slides.numbering import keep_apart
from ilios.engines.converters.slides.order import reading_order
from ilios.engines.converters.slides.pictures import SlidePictures
from ilios.engines.converters.slides.shapes import Shape, ShapeReader
from ilios.engines.converters.slides.shown import shown_text
from ilios.engines.converters.slides.styles import LISTS, TITLES, TextStyle, placeholder_of
from ilios.engines.pages import ConvertedPage, Reading
from ilios.engines.pdf.conservation import conserved
from schemas.results import PageDimensions, PageHeading, PageResult, PageTable
from schemas.warnings import page_warning

HIDDEN = "*(hidden slide)*"
"""Stands below the title of a slide that the show leaves out."""

DPI = 72
_FURNITURE = ("dt", "ftr", "sldNum", "hdr")
"""Placeholders that the template repeats on every slide."""

_NOT_NOTES = (*_FURNITURE, "sldImg")
_BROKEN = (
    *(UnreadablePart, GridFull, RecursionError),
    *(AttributeError, IndexError, KeyError, TypeError, ValueError),
)
"""What damaged content may raise: it costs the shape and not the slide."""


class _Block(Struct, frozen=True):
    """What a shape becomes."""

    shape: Shape
    markdown: str


def convert_slide(
    deck: Deck, part: str, index: int, reading: Reading, heartbeat: Callable[[], None]
) -> ConvertedPage:
    """Return a slide as a page; what cannot be read of it costs itself and a warning."""
    try:
        root = deck.package.xml(part)
    except UnreadablePart:
        warnings = (page_warning("page_unreadable"),)
        return ConvertedPage(PageResult(index=index, markdown="", warnings=warnings))
    return _SlideWriter(deck, part, root, reading, heartbeat).page(index)


class _SlideWriter:
    """Writes one slide."""

    def __init__(
        self, deck: Deck, part: str, root: Any, reading: Reading, heartbeat: Callable[[], None]
    ) -> None:
        self._deck = deck
        self._root = root
        self._reading = reading
        self._heartbeat = heartbeat
        self._related = deck.package.relationships(part)
        self._notices = Notices()
        self._links = text.Links(self._related)
        self._pictures = SlidePictures(deck.pictures, self._related)
        self._frames = FrameWriter(
            deck.package, self._related, self._links, self._notices, reading.merged_cells
        )
        layouts = (one.target for one in self._related.values() if one.type == "slideLayout")
        self._layout = deck.layout_of(next(layouts, ""))
        self._shown = ""
        self._titles: list[str] = []
        self._footer: list[str] = []
        self._tables: list[str] = []

    def page(self, index: int) -> ConvertedPage:
        """Return the slide as a page."""
        blocks = keep_apart(list(self._blocks()))
        hidden = HIDDEN if self._root.get("show", "1") in ("0", "false") else ""
        titles = [f"# {title}" for title in self._titles]
        after = [self._notes(), *self._comments()]
        written = markdown.clean(
            "\n\n".join(filter(None, [*titles, hidden, *blocks, *after])), hard_breaks=True
        )
        self._notices.images += self._pictures.left_out
        for name in self._pictures.unreadable:
            self._notices.unreadable(name)
        for address in self._links.left_out:
            self._notices.link(address)
        self._footer += self._drawn()
        footer = markdown.clean("\n\n".join(dict.fromkeys(self._footer)))
        conservation = conserved(self._shown, f"{written}\n{footer}")
        if not conservation.sound:
            self._notices.missing(conservation.missing)
        width, height = (round(side) for side in self._deck.size)
        result = PageResult(
            index=index,
            markdown=written,
            images=tuple(self._pictures.images),
            tables=tuple(
                PageTable(f"table-{index}-{number}", markdown.clean(one), "markdown")
                for number, one in enumerate(self._tables)
            ),
            hyperlinks=tuple(self._links.used),
            footer=footer or None,
            dimensions=PageDimensions(DPI, height, width),
            headings=tuple(PageHeading(1, markdown.clean(title)) for title in self._titles),
            conservation=round(conservation.share, 4),
            warnings=tuple(self._notices.warnings()),
        )
        return ConvertedPage(result, self._pictures.encoded)

    def _blocks(self) -> Iterator[str]:
        tree = self._root.find(f"{P}cSld/{P}spTree")
        if tree is None:
            self._notices.unreadable("the shapes of the slide")
            return
        reader = ShapeReader(self._layout)
        shapes = reader.read(tree)
        self._shown = shown_text(shapes)
        yield from self._ordered(shapes)
        if reader.left_out:
            self._notices.left_out(f"{reader.left_out} shapes")

    def _ordered(self, shapes: Sequence[Shape]) -> list[str]:
        """Return the texts of shapes in reading order; those without any have no part in it."""
        blocks = [
            _Block(shape, written) for shape in shapes if (written := self._write(shape).strip())
        ]
        order = reading_order(
            [block.shape.box for block in blocks],
            self._deck.size,
            from_right=self._deck.from_right,
        )
        return [blocks[place].markdown for place in order]

    def _write(self, shape: Shape) -> str:
        self._heartbeat()
        try:
            if shape.kind == "grpSp":
                return "\n\n".join(self._ordered(shape.members))
            return self._leaf(shape)
        except _BROKEN as error:
            unreadable = str(error) if isinstance(error, UnreadablePart) else ""
            self._notices.unreadable(unreadable or markdown.one_line(shape.name) or "a shape")
            return ""

    def _leaf(self, shape: Shape) -> str:
        kind = shape.placeholder.type if shape.placeholder else ""
        if shape.kind == "graphicFrame":
            return self._frame(shape)
        if shape.kind == "pic":
            self._note_media(shape)
            return self._linked(shape, self._pictures.write(shape.element, shape.box))
        body = shape.element.find(f"{P}txBody")
        if body is None:
            return ""
        if kind in TITLES:
            title = text.one_line(body, self._links, plain=True)
            self._titles += [title] if title else []
            return ""
        if kind in _FURNITURE:
            footer = text.one_line(body, self._links)
            self._footer += [footer] if footer else []
            return ""
        written = text.paragraphs(body, self._links, self._style(shape, body))
        return written if "\n" in written or "](" in written else self._linked(shape, written)

    def _linked(self, shape: Shape, written: str) -> str:
        """Return a picture or a short text with the link of its shape, which has one as a whole."""
        address = self._links.address(shape.element[0].find(f"{P}cNvPr/{A}hlinkClick"))
        return f"[{written}]({address})" if address and written else written

    def _frame(self, shape: Shape) -> str:
        written = self._frames.write(shape.element, shape.name)
        self._tables += [one for one in written.split("\n\n") if one.startswith("|")]
        pictures = (self._pictures.write(one, shape.box) for one in shape.element.iter(f"{P}pic"))
        return "\n\n".join(filter(None, [written, *pictures]))

    def _style(self, shape: Shape, body: Any) -> TextStyle:
        styles = [body.find(f"{A}lstStyle")]
        if shape.placeholder is None:
            return TextStyle([*styles, self._deck.text_style], listed=False)
        for source in shape.sources:
            inherited = source.element.find(f"{P}txBody")
            styles += [] if inherited is None else [inherited.find(f"{A}lstStyle")]
        styles.append(self._layout.master_style(shape.placeholder.type))
        return TextStyle(styles, listed=shape.placeholder.type in LISTS)

    def _note_media(self, shape: Shape) -> None:
        properties = shape.element[0].find(f"{P}nvPr")
        for one in () if properties is None else properties:
            if local(one) in ("videoFile", "quickTimeFile"):
                self._notices.left_out(f"the video {markdown.one_line(shape.name)}".strip())
            elif local(one) in ("audioFile", "wavAudioFile", "audioCd"):
                self._notices.left_out(f"the recording {markdown.one_line(shape.name)}".strip())

    def _drawn(self) -> list[str]:
        """Return the texts of the layout and its master, unless the slide hides them."""
        if self._root.get("showMasterSp", "1") in ("0", "false"):
            return []
        written = []
        for body in self._layout.drawn:
            try:
                written.append(text.one_line(body, text.Links({})))
            except _BROKEN:
                self._notices.unreadable("a text of the layout")
        return list(filter(None, written))

    def _notes(self) -> str:
        """Return the notes of the speaker as a quotation."""
        found = (one for one in self._related.values() if one.type == "notesSlide")
        part = next((one.target for one in found if not one.external), None)
        if part is None:
            return ""
        try:
            root = self._deck.package.xml(part)
        except UnreadablePart as error:
            self._notices.unreadable(str(error))
            return ""
        links = text.Links(self._deck.package.relationships(part))
        texts = []
        for shape in root.iter(f"{P}sp"):
            placeholder = placeholder_of(shape)
            body = shape.find(f"{P}txBody")
            if body is not None and (placeholder is None or placeholder.type not in _NOT_NOTES):
                texts.append(text.paragraphs(body, links))
        self._links.used.update(links.used)
        self._links.left_out.update(links.left_out)
        notes = markdown.clean("\n\n".join(filter(None, texts)), hard_breaks=True)
        return markdown.quoted(f"**Notes**\n\n{notes}") if notes else ""

    def _comments(self) -> list[str]:
        if not self._reading.comments:
            return []
        try:
            return list(comments(self._deck.package, self._related, self._deck.authors))
        except UnreadablePart as error:
            self._notices.unreadable(str(error))
            return []
