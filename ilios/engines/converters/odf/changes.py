"""Tracked changes of an OpenDocument text (part 3, 5.5)."""

from collections.abc import Callable
from typing import Any

from ilios.engines.converters.inline import Run
from ilios.engines.converters.odf.names import attribute, child, clark, tag
from schemas.options import TrackedChanges

INSERTED, NO_LONGER_INSERTED = Run("<ins>", markup=True), Run("</ins>", markup=True)


class Changes:
    """The changes of a text, and whether the place that is read now is within an insertion."""

    def __init__(self, body: Any, wanted: TrackedChanges | None) -> None:
        self._wanted = wanted or "final"
        self._insertions: set[str] = set()
        self._deletions: dict[str, Any] = {}
        self._open: set[str] = set()
        for region in body.iter(clark("text:changed-region")) if body is not None else ():
            name = attribute(region, "text:id") or attribute(region, "xml:id")
            if child(region, "text:insertion") is not None:
                self._insertions.add(name)
            elif (deletion := child(region, "text:deletion")) is not None:
                self._deletions[name] = deletion

    @property
    def hides(self) -> bool:
        """Whether text is left out, because it was not in the original."""
        return self._wanted == "original" and bool(self._open)

    def mark(self, element: Any, read: Callable[[Any], str]) -> list[Run]:
        """Return what stands for the start, the end or the place of a change."""
        name = attribute(element, "text:change-id")
        if tag(element) == "text:change":
            return self._deletion(name, read)
        if name not in self._insertions:
            return []
        was_open = bool(self._open)
        if tag(element) == "text:change-start":
            self._open.add(name)
        else:
            self._open.discard(name)
        if self._wanted != "all" or was_open == bool(self._open):
            return []
        return [NO_LONGER_INSERTED if was_open else INSERTED]

    def reopened(self) -> list[Run]:
        """Return what begins a paragraph: an insertion may reach over several."""
        return [INSERTED] if self._wanted == "all" and self._open else []

    def suspended(self) -> list[Run]:
        """Return what ends a paragraph."""
        return [NO_LONGER_INSERTED] if self._wanted == "all" and self._open else []

    def _deletion(self, name: str, read: Callable[[Any], str]) -> list[Run]:
        if self._wanted == "final" or self.hides:
            return []
        deletion = self._deletions.pop(name, None)  # one that names itself would never end
        if deletion is None:
            return []
        content = [one for one in deletion if tag(one) in ("text:p", "text:h")]
        text = read(content)
        if self._wanted == "all":
            text = f"<del>{text}</del>" if text.strip() else ""
        return [Run(text, markup=True)]
