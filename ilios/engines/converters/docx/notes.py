"""Footnotes, endnotes and comments: their labels in the order of their references."""

from typing import Literal, NamedTuple

from ilios.engines.converters.docx.source import Source
from ilios.engines.converters.docx.wordml import Element, W
from ilios.engines.converters.markdown import one_line

NoteKind = Literal["footnote", "endnote", "comment"]

_PREFIX: dict[NoteKind, str] = {"footnote": "", "endnote": "e", "comment": "c"}
_PARTS: dict[NoteKind, str] = {
    "footnote": "footnotes",
    "endnote": "endnotes",
    "comment": "comments",
}
_SEPARATORS = frozenset({"separator", "continuationSeparator", "continuationNotice"})


class Note(NamedTuple):
    """A note with a reference: its label, its element, the part it is in, and who wrote it."""

    label: str
    element: Element
    part: str
    author: str


class Notes:
    """The notes of a document by kind and id."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._elements: dict[NoteKind, dict[str, Element]] = {}
        self._labels: dict[tuple[NoteKind, str], str] = {}
        self._counts: dict[NoteKind, int] = {}
        self.referenced: list[Note] = []

    def reference(self, kind: NoteKind, note_id: str) -> str:
        """Return the label of a note, such as ``[^1]``; empty for one that does not exist."""
        label = self._labels.get((kind, note_id))
        if label is None:
            element = self._all(kind).get(note_id)
            label = ""
            if element is not None:
                self._counts[kind] = self._counts.get(kind, 0) + 1
                label = f"{_PREFIX[kind]}{self._counts[kind]}"
                part = self._source.related_part(_PARTS[kind]) or ""
                author = one_line(element.get(f"{W}author", ""))
                self.referenced.append(Note(label, element, part, author))
            self._labels[kind, note_id] = label
        return f"[^{label}]" if label else ""

    def _all(self, kind: NoteKind) -> dict[str, Element]:
        if kind not in self._elements:
            root = self._source.related_xml(_PARTS[kind])
            self._elements[kind] = {
                one.get(f"{W}id", ""): one
                for one in (() if root is None else root.findall(W + kind))
                if one.get(f"{W}type") not in _SEPARATORS
            }
        return self._elements[kind]
