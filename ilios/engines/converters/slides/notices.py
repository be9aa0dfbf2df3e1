"""What the owner of a presentation is to know about one slide: its warnings."""

from collections.abc import Iterator, Sequence

from schemas.warnings import PageWarning, page_warning

MAX_NAMES = 10
"""Names in one warning; further ones are counted."""


class Notices:
    """Collects what a slide has and the Markdown has not, as one warning for each kind."""

    def __init__(self) -> None:
        self._names: dict[str, dict[str, None]] = {}
        self.images = 0

    def unreadable(self, name: str) -> None:
        """Note a part or shape that cannot be read."""
        self._add("part_unreadable", name)

    def left_out(self, what: str) -> None:
        """Note what is there and not converted."""
        self._add("content_left_out", what)

    def link(self, address: str) -> None:
        """Note an address that may not stand in a link."""
        self._add("links_left_out", address.partition(":")[0])

    def attached(self, name: str) -> None:
        """Note an embedded object."""
        self._add("attachments_not_converted", name)

    def missing(self, words: Sequence[str]) -> None:
        """Note words that the Markdown lacks, unless a part that cannot be read explains it."""
        if "part_unreadable" not in self._names:
            for word in words:
                self._add("page_incomplete", word)

    def _add(self, code: str, name: str) -> None:
        self._names.setdefault(code, {})[name] = None

    def warnings(self) -> Iterator[PageWarning]:
        """Yield the warnings."""
        for code, names in self._names.items():
            listed = ", ".join(list(names)[:MAX_NAMES])
            more = len(names) - MAX_NAMES
            yield page_warning(code, f"{listed} and {more} more" if more > 0 else listed)
        if self.images:
            yield page_warning("images_left_out", str(self.images))
