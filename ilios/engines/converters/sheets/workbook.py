"""The parts of an Excel workbook that its sheets share: their list, styles and strings."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from actors.engines import Unconvertible
from ilios.engines.converters.opc import Package, Relationship, UnreadablePart
from ilios.engines.converters.sheets.cell_formats import BUILT_IN, CellFormat
from ilios.engines.converters.sheets.cells import State
from ilios.engines.converters.sheets.xlsx_rows import shared_string
from ilios.engines.converters.sheets.xml_stream import (
    UnreadableXml,
    elements,
    is_on,
    local_name,
    natural,
)

MAX_SHEETS = 20_000
MAX_NAME = 255
MAX_FORMATS = 65_536
"""Styles of cells: as many as Excel allows."""

MAX_STRINGS_CHARS = 96 * 1024 * 1024
"""Characters of all shared strings in memory."""

_STATES: dict[str, State] = {"hidden": "hidden", "veryHidden": "very hidden"}
OFFICE = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"


class SheetEntry(Struct, frozen=True):
    """A sheet in the list of the workbook; ``part`` is None if there is no such part."""

    name: str
    state: State
    part: str | None
    kind: str


class Workbook:
    """A workbook; what its sheets share is read once, when it is needed."""

    def __init__(self, package: Package, heartbeat: Callable[[], None]) -> None:
        self._package = package
        self._heartbeat = heartbeat
        self._strings: list[str] | None = None
        self._formats: list[CellFormat] | None = None
        self.unreadable: list[str] = []
        """Noun phrases of shared parts that could not be read, or not to their end."""
        try:
            self._root = package.xml(package.main_part)
        except UnreadablePart as error:
            raise Unconvertible(
                "corrupt", "The XLSX file is damaged: its list of sheets cannot be read."
            ) from error
        self._related = package.relationships(package.main_part)

    def sheets(self) -> list[SheetEntry]:
        """Return the sheets in the order of their tabs; each part counts once.

        :raises Unconvertible: ``corrupt``, there are none.
        """
        found = list(self._sheets())
        if not found:
            raise Unconvertible("corrupt", "The XLSX file is damaged: it has no sheets.")
        return found

    def _sheets(self) -> Iterator[SheetEntry]:
        seen: set[str] = set()
        found = (
            one
            for group in self._root
            if local_name(group) == "sheets"
            for one in group
            if local_name(one) == "sheet"
        )
        for place, element in enumerate(found):
            if place >= MAX_SHEETS:
                return
            related = self._related.get(element.get(f"{OFFICE}id", ""))
            part = related.target if related is not None and not related.external else None
            if part is not None and (part.lower() in seen or part == self._package.main_part):
                self.unreadable = ["sheets that are listed again"]
                continue
            if part is not None:
                seen.add(part.lower())
            yield SheetEntry(
                element.get("name", "")[:MAX_NAME],
                _STATES.get(element.get("state", ""), "visible"),
                part if part is not None and self._package.has(part) else None,
                related.type if related is not None else "",
            )

    def part_of_kind(self, kind: str) -> str | None:
        """Return the part that is related to the workbook in this way, if there is one."""
        return related_part(self._package, self._related, kind)

    @property
    def formats(self) -> Sequence[CellFormat]:
        """The formats of the styles of cells."""
        if self._formats is None:
            self._formats = []
            part = self.part_of_kind("styles")
            try:
                if part is not None:
                    self._formats = self._read_formats(part)
            except UnreadablePart:
                self.unreadable.append("the formats of numbers")
        return self._formats

    def _read_formats(self, part: str) -> list[CellFormat]:
        root = self._package.xml(part)
        codes = dict(BUILT_IN)
        for element in root.iter("{*}numFmt"):
            if local_name(element.getparent()) == "numFmts":  # not that of a conditional format
                codes[natural(element.get("numFmtId"))] = element.get("formatCode", "General")
        made: dict[int, CellFormat] = {}
        formats = []
        for group in root:
            for element in group if local_name(group) == "cellXfs" else ():
                number = natural(element.get("numFmtId"))
                if number not in made:
                    code = codes.get(number, "General")
                    made[number] = CellFormat(code, from_1904=self.counts_from_1904)
                formats.append(made[number])
                if len(formats) >= MAX_FORMATS:
                    return formats
        return formats

    @property
    def counts_from_1904(self) -> bool:
        """Whether days count from 1904, as once on the Macintosh."""
        properties = (one for one in self._root if local_name(one) == "workbookPr")
        return any(is_on(one.get("date1904")) for one in properties)

    @property
    def strings(self) -> Sequence[str]:
        """The shared strings as Markdown."""
        if self._strings is None:
            self._strings = []
            part = self.part_of_kind("sharedStrings")
            if part is not None:
                self._read_strings(part, self._strings)
        return self._strings

    def _read_strings(self, part: str, strings: list[str]) -> None:
        size = 0
        try:
            with self._package.stream(part) as stream:
                for element in elements(stream, ("si",), self._heartbeat):
                    text = shared_string(element)
                    size += len(text)
                    if size > MAX_STRINGS_CHARS:
                        raise UnreadableXml("they are too many")
                    strings.append(text)
        except (UnreadableXml, UnreadablePart):
            self.unreadable.append(f"shared strings after number {len(strings)}")


def related_part(package: Package, related: Mapping[str, Relationship], kind: str) -> str | None:
    """Return the first part with a relationship of this type, if there is one."""
    parts = (one.target for one in related.values() if one.type == kind and not one.external)
    return next((part for part in parts if package.has(part)), None)
