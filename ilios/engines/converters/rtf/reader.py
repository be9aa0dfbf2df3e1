"""The reading of RTF: groups and controls into stories of blocks."""

import re
from collections import Counter
from collections.abc import Callable

import msgspec

from ilios.engines.converters.blocks import Block, Paragraph
from ilios.engines.converters.inline import Run, safe_link
from ilios.engines.converters.left_out_links import LeftOutLinks
from ilios.engines.converters.rtf import controls
from ilios.engines.converters.rtf.state import CODE_PAGES, Definitions, Group, Line
from ilios.engines.converters.rtf.story import Story
from ilios.engines.converters.rtf.tokens import Token, tokens
from ilios.engines.converters.web.pictures import Pictures
from ilios.engines.pages import Reading

MAX_GROUPS = 10_000
"""Groups within each other; the content of deeper ones is in the last."""

MAX_NOTES = 20_000
_PROGRESS_EVERY = 5000  # tokens
_LINK = re.compile(r'\s*HYPERLINK\s+(?!\\)"?([^"\s]{1,4000})"?', re.IGNORECASE)
_HEX = re.compile(r"[^0-9A-Fa-f]+")


class Reader:
    """Reads one file. ``left_out`` counts pictures of formats that are not shown."""

    def __init__(self, reading: Reading) -> None:
        self.pictures = Pictures()
        self.links = LeftOutLinks()
        self.left_out = 0
        self.headers: dict[str, list[Block]] = {}
        self._reading = reading
        self._defined = Definitions()
        self._story = Story(reading.merged_cells)
        self._notes: list[tuple[str, list[Block]]] = []
        self._note_counts = Counter[str]()
        self._author = ""
        self._group = Group()
        self._groups: list[tuple[Group, Callable[[], None] | None]] = []
        self._closer: Callable[[], None] | None = None
        self._line = Line()
        self._bytes = bytearray()
        self._pending_fallbacks = 0
        self._texts: list[list[str]] = []
        self._links: list[str] = []
        self._shape_name = self._alt = ""
        self._picture_kind = ""
        self._style = 0

    def read(self, data: bytes, heartbeat: Callable[[], None]) -> list[Block]:
        """Return the blocks of a file; its notes stand at the end."""
        for number, token in enumerate(tokens(data)):
            if number % _PROGRESS_EVERY == 0:
                heartbeat()
            self._read(token)
        self._flush()
        while self._groups:
            self._close()
        blocks = self._story.finish(self._line, self._heading())
        for note, found in self._notes:
            mark = Run(f"[^{note}]: ", markup=True)
            match found:
                case [Paragraph((first, *runs), 0), *rest]:
                    start = msgspec.structs.replace(first, text=first.text.lstrip())
                    blocks += [Paragraph((mark, start, *runs)), *rest]
                case _:
                    blocks += [Paragraph((mark,)), *found]
        return blocks

    def _read(self, token: Token) -> None:
        if token.kind == "text":
            self._text(token)
            return
        if token.kind == "control" and self._pending_fallbacks and token.text not in ("u", "uc"):
            self._pending_fallbacks -= 1
            return
        self._flush()
        self._pending_fallbacks = 0 if token.kind != "control" else self._pending_fallbacks
        match token.kind:
            case "open":
                self._open()
            case "close":
                self._close()
            case _:
                self._control(token.text, token.number)

    def _text(self, token: Token) -> None:
        text = token.text
        if self._pending_fallbacks:
            skipped = min(len(text), self._pending_fallbacks)
            self._pending_fallbacks -= skipped
            text = text[skipped:]
        if not self._group.skipped:
            self._bytes += text.encode("latin-1")

    def _flush(self) -> None:
        """Give out the text since the last control."""
        if not self._bytes:
            return
        data, self._bytes = bytes(self._bytes), bytearray()
        if self._group.destination == "pict":
            self._texts[-1].append(data.decode("latin-1"))
            return
        self._put(data.decode(self._defined.encoding_of(self._group.font), "replace"))

    def _put(self, text: str) -> None:
        group = self._group
        if group.skipped or group.destination in controls.SILENT:
            return
        if group.destination in controls.CAPTURED:
            self._texts[-1].append(text)
            return
        if group.hidden or not self._is_wanted(group):
            return
        run = msgspec.structs.replace(group.run, text=text)
        if self._reading.tracked_changes == "all" and group.deleted:
            run = msgspec.structs.replace(run, strike=True)
        self._story.add(run)

    def _is_wanted(self, group: Group) -> bool:
        match self._reading.tracked_changes:
            case "all":
                return True
            case "original":
                return not group.inserted
        return not group.deleted

    def _heading(self) -> int:
        return self._line.heading(self._defined.outlines)

    def _open(self) -> None:
        if len(self._groups) < MAX_GROUPS:
            self._groups.append((self._group, self._closer))
        else:
            self._groups.append((Group(skipped=True), None))
        self._closer = None
        skipped = self._group.skipped or self._group.destination == "upr"
        self._group = msgspec.structs.replace(self._group, starred=False, skipped=skipped)

    def _close(self) -> None:
        if not self._groups:
            return
        closer = self._closer
        if closer is not None:
            closer()
        self._group, self._closer = self._groups.pop()

    def _control(self, name: str, number: int | None) -> None:
        group = self._group
        if group.skipped:
            if name == "ud":
                self._group = msgspec.structs.replace(group, skipped=False, destination="")
            return
        if name == "*":
            self._group = msgspec.structs.replace(group, starred=True)
        elif name in controls.SKIPPED or (
            group.starred and name not in controls.STARRED and group.destination != "fldinst"
        ):
            self._group = msgspec.structs.replace(group, skipped=True, starred=False)
        elif group.destination in controls.TABLES_OF_FILE:
            self._define(name, number)
        elif name in controls.DESTINATIONS:
            self._begin(name)
        elif name in controls.CHARACTERS:
            self._put(controls.CHARACTERS[name])
        elif (changed := controls.styled(group, name, number)) is not None:
            self._group = changed
        else:
            self._layout(name, number)
        if self._group.starred and name != "*":
            self._group = msgspec.structs.replace(self._group, starred=False)

    def _define(self, name: str, number: int | None) -> None:
        """Read a control of the tables of fonts and styles."""
        group = self._group
        if name == "f" and number is not None:
            self._group = msgspec.structs.replace(group, font=number)
        elif name == "fcharset" and number in CODE_PAGES:
            self._defined.fonts[group.font] = CODE_PAGES[number]
        elif name == "cpg" and number is not None:
            codes = Definitions()
            codes.set_code_page(number)
            self._defined.fonts[group.font] = codes.encoding
        elif name == "s" and number is not None:
            self._style = number
            self._capture("style", self._end_style)
        elif name == "outlinelevel" and number is not None:
            self._defined.outlines[self._style] = number

    def _end_style(self) -> None:
        self._defined.name_style(self._style, "".join(self._texts.pop()))

    def _capture(self, name: str, end: Callable[[], None]) -> None:
        self._texts.append([])
        destination = self._group.destination if name == "style" else name
        self._group = msgspec.structs.replace(self._group, destination=destination, starred=False)
        self._closer = end

    def _begin(self, name: str) -> None:
        """Begin a destination: what the group contains is for something else than the text."""
        if self._closer is not None:
            return
        ends = {
            "fldinst": self._end_instruction,
            "listtext": self._end_label,
            "pntext": self._end_label,
            "atnauthor": self._end_author,
            "sn": self._end_shape_name,
            "sv": self._end_shape_value,
            "pict": self._end_picture,
        }
        if name in ends:
            self._picture_kind = ""
            self._capture(name, ends[name])
            return
        match name:
            case "fldrslt":
                address = self._links[-1] if self._links else ""
                self._group = self._group.styled(link=address)
            case "field":
                self._links.append("")
                self._closer = self._end_field
            case "footnote":
                self._begin_note("")
            case "annotation":
                self._begin_comment()
            case "header" | "headerl" | "headerr" | "headerf":
                self._begin_header("header")
            case "footer" | "footerl" | "footerr" | "footerf":
                self._begin_header("footer")
            case _:
                self._group = msgspec.structs.replace(self._group, destination=name, starred=False)

    def _end_field(self) -> None:
        self._links.pop()

    def _end_instruction(self) -> None:
        found = _LINK.match("".join(self._texts.pop()))
        if found and self._links:
            self._links[-1] = safe_link(self.links.checked(found[1]))

    def _end_label(self) -> None:
        self._story.label = "".join(self._texts.pop()).replace("\t", " ")

    def _end_shape_name(self) -> None:
        self._shape_name = "".join(self._texts.pop()).strip()

    def _end_shape_value(self) -> None:
        value = "".join(self._texts.pop())
        if self._shape_name == "wzDescription":
            self._alt = value

    def _end_picture(self) -> None:
        digits = _HEX.sub("", "".join(self._texts.pop()))
        shown = self._picture_kind in ("pngblip", "jpegblip")
        data = bytes.fromhex(digits[: len(digits) // 2 * 2]) if shown else None
        alt, self._alt = self._alt, ""
        if text := self.pictures.add(data, alt):
            self._story.add(Run(text, markup=True))
        elif not shown:
            self.left_out += 1

    def _begin_note(self, prefix: str) -> None:
        if self._note_counts[prefix] >= MAX_NOTES:
            return
        self._note_counts[prefix] += 1
        label = f"{prefix}{self._note_counts[prefix]}"
        self._story.add(Run(f"[^{label}]", markup=True))
        self._begin_story(lambda blocks: self._notes.append((label, blocks)))

    def _begin_comment(self) -> None:
        if not self._reading.comments:
            self._group = msgspec.structs.replace(self._group, skipped=True)
            return
        self._begin_note("c")
        if author := self._author.strip():
            self._story.add(Run(author, bold=True))
            self._story.add(Run(": "))

    def _end_author(self) -> None:
        self._author = "".join(self._texts.pop())

    def _begin_header(self, name: str) -> None:
        def end(blocks: list[Block]) -> None:
            if blocks not in ([], self.headers.get(name)):
                self.headers.setdefault(name, []).extend(blocks)

        self._begin_story(end)

    def _begin_story(self, end: Callable[[list[Block]], None]) -> None:
        outer, line = self._story, self._line
        self._story, self._line = Story(self._reading.merged_cells), Line()
        self._group = Group(font=self._group.font, fallbacks=self._group.fallbacks)

        def close() -> None:
            end(self._story.finish(self._line, self._heading()))
            self._story, self._line = outer, line

        self._closer = close

    def _layout(self, name: str, number: int | None) -> None:
        """Read a control of paragraphs, tables and the file."""
        story, line = self._story, self._line
        match name:
            case "par" | "sect" | "page" | "column":
                story.end_paragraph(line, self._heading())
            case "cell" | "nestcell" | "row" | "nestrow":
                story.end_part(name, line)
            case "trowd":
                story.row = controls.new_row()
            case "u" if number is not None:
                self._put(chr(number & 0xFFFF))
                self._pending_fallbacks = self._group.fallbacks
            case "ansicpg" if number is not None:
                self._defined.set_code_page(number)
            case "mac":
                self._defined.encoding = "mac_roman"
            case "pngblip" | "jpegblip":
                self._picture_kind = name
            case _:
                self._line = controls.lined(line, name, number)
                controls.define_row(story.row, name, number)
