"""The document as a whole: its package, what its parts share, and what was left out."""

import posixpath
from collections.abc import Callable, Iterable

from ilios.engines.converters.docx.numbering import Numbering
from ilios.engines.converters.docx.pictures import Pictures
from ilios.engines.converters.docx.styles import Styles
from ilios.engines.converters.docx.wordml import Element, W, switch
from ilios.engines.converters.opc import Package, Relationship, UnreadablePart
from ilios.engines.pages import Reading
from schemas.warnings import PageWarning, page_warning

MAX_NAMES = 8
"""Names listed in one warning."""

MAX_NAME = 60  # characters of one of them

TICK_EVERY = 2000
"""Blocks and runs between two signs of life."""


class Source:
    """A DOCX while it is read.

    A part that cannot be read costs itself and a warning, but for the document's own.
    """

    def __init__(
        self, package: Package, main: str, reading: Reading, tick: Callable[[], None]
    ) -> None:
        self.package = package
        self.main = main
        self.reading = reading
        self.changes = reading.tracked_changes or "final"
        self._tick = tick
        self._ticks = 0
        self._left_out: dict[str, dict[str, int]] = {}
        self._relations: dict[str, dict[str, Relationship]] = {}
        self.styles = Styles(self.related_xml("styles"))
        self.numbering = Numbering(self.related_xml("numbering"), self.styles.number_id)
        self.pictures = Pictures(package)
        self.even_headers = bool(switch(self.related_xml("settings"), "evenAndOddHeaders"))

    def tick(self) -> None:
        """Give a sign of life now and then."""
        self._ticks += 1
        if self._ticks % TICK_EVERY == 0:
            self.breathe()

    def breathe(self) -> None:
        """Give a sign of life at once."""
        self._tick()

    def relations(self, part: str) -> dict[str, Relationship]:
        """Return the relationships of a part by their ids."""
        if part not in self._relations:
            found = self.package.relationships(part)
            if not found and part == self.main:
                found = self._relations_left_behind()
            self._relations[part] = found
        return self._relations[part]

    def _relations_left_behind(self) -> dict[str, Relationship]:
        """Return the relationships of a main part that was renamed, and they were not."""
        folder = f"{posixpath.dirname(self.main)}/_rels/".lstrip("/")
        for name in self.package.names:
            if name.startswith(folder) and name.endswith(".rels"):
                owner = posixpath.join(posixpath.dirname(self.main), name[len(folder) : -5])
                if not self.package.has(owner):
                    return self.package.relationships(owner)
        return {}

    def related_part(self, kind: str) -> str | None:
        """Return the name of the document's part of this kind."""
        found = (one for one in self.relations(self.main).values() if one.type == kind)
        return next((one.target for one in found if not one.external), None)

    def related_xml(self, kind: str) -> Element | None:
        """Return the root of the document's part of this kind; None where there is none."""
        part = self.related_part(kind)
        return self.xml(part) if part else None

    def xml(self, part: str) -> Element | None:
        """Return the root of a part; None with a warning where it cannot be read."""
        try:
            return self.package.xml(part)
        except UnreadablePart:
            self.leave_out("part_unreadable", part)
            return None

    def target(self, part: str, relation: str) -> Relationship | None:
        """Return a relationship of a part."""
        return self.relations(part).get(relation)

    def leave_out(self, code: str, what: str) -> None:
        """Record what the result lacks, for a warning of this code."""
        names = self._left_out.setdefault(code, {})
        what = what[:MAX_NAME]
        if what in names or len(names) < MAX_NAMES:
            names[what] = names.get(what, 0) + 1
        else:
            names["others"] = names.get("others", 0) + 1

    def warnings(self) -> tuple[PageWarning, ...]:
        """Return a warning of each code that was recorded."""
        for part in self.pictures.unreadable:
            self.leave_out("part_unreadable", part)
        for kind in self.pictures.other_kinds:
            self.leave_out("content_left_out", f"pictures of the kind {kind or 'unknown'}")
        made = [
            page_warning(code, _listed(names.items())) for code, names in self._left_out.items()
        ]
        if self.pictures.left_out:
            made.append(page_warning("images_left_out", str(self.pictures.left_out)))
        return tuple(made)


def _listed(names: Iterable[tuple[str, int]]) -> str:
    return ", ".join(name if count == 1 else f"{name} ({count})" for name, count in names)


def properties(element: Element, name: str, *, original: bool) -> Element | None:
    """Return the properties of a paragraph or run, as they were before a tracked change."""
    found = element.find(W + name)
    if original and found is not None:
        before = found.find(f"{W}{name}Change/{W}{name}")
        return found if before is None else before
    return found
