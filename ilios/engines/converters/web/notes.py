"""Footnotes of pages: references and the notes they lead to, in one document."""

from typing import Any

from ilios.engines.converters.web.walk import epub_types, name_of

_REFERENCES = frozenset({"noteref", "doc-noteref"})
_BACK_LINKS = frozenset({"backlink", "doc-backlink", "referrer"})


class Notes:
    """The notes of a document, whose pages are files."""

    def __init__(self) -> None:
        self._referred: set[tuple[str, str]] = set()
        self._files: set[str] = set()
        self._ids: set[tuple[str, str]] = set()
        self._numbers: dict[tuple[str, str], int] = {}

    def add_page(self, file: str, root: Any) -> None:
        """Look for references and ids of a page."""
        for element in root.iter():
            if identity := element.get("id"):
                self._ids.add((file, identity))
            if name_of(element) == "a" and _REFERENCES.intersection(epub_types(element)):
                target = _target(file, element)
                self._referred.add(target)
                self._files.add(target[0])

    def leads_to(self, file: str) -> bool:
        """Whether a reference that was found leads to this file."""
        return file in self._files

    def mark(self, file: str, element: Any) -> str | None:
        """Return the mark in place of a link, empty for a link back; None for any other link."""
        types = epub_types(element)
        if _BACK_LINKS.intersection(types):
            return ""
        target = _target(file, element)
        if target in self._ids and _REFERENCES.intersection(types):
            return f"[^{self._number(target)}]"
        return None

    def label(self, file: str, element: Any) -> str:
        """Return what begins the note that an element is; empty for any other element."""
        identity = element.get("id")
        target = (file, identity or "")
        if not identity or target not in self._referred or name_of(element) == "a":
            return ""
        return f"[^{self._number(target)}]: "

    def _number(self, target: tuple[str, str]) -> int:
        return self._numbers.setdefault(target, len(self._numbers) + 1)


def _target(file: str, element: Any) -> tuple[str, str]:
    path, _, identity = (element.get("href") or "").strip().partition("#")
    return (path.rpartition("/")[2] or file, identity)
