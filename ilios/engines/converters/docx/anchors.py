"""Links within a document: which bookmarks are linked to, and what they become."""

import re
from collections.abc import Iterable

from ilios.engines.converters.docx.blocks import Block, Heading, texts
from ilios.engines.converters.docx.fields import hyperlink
from ilios.engines.converters.docx.wordml import Element, W

_NAME = re.compile(r"[\w.-]{1,64}")
_NOT_IN_SLUG = re.compile(r"[^\w\- ]")


class Anchors:
    """The bookmarks that links lead to.

    One in a heading is linked by the address that renderers derive of the heading. Others have an
    element of their own, but for those that Word makes itself and hides, whose names begin with an
    underscore.
    """

    def __init__(self, roots: Iterable[Element]) -> None:
        self._wanted: set[str] = set()
        self._placed: set[str] = set()
        self._slugs: dict[str, str] = {}
        for root in roots:
            names = (one.get(f"{W}anchor", "") for one in root.iter(f"{W}hyperlink"))
            self._wanted.update(name for name in names if name)
            for one in root.iter(f"{W}instrText", f"{W}fldSimple"):
                text = one.text or one.get(f"{W}instr", "")
                if "\\l" in text:
                    self._wanted.add(hyperlink(text).rpartition("#")[2])

    def is_wanted(self, name: str) -> bool:
        """Whether a link leads to this bookmark."""
        return name in self._wanted

    def place(self, name: str) -> str:
        """Return the element of a bookmark, empty for a hidden one."""
        if name.startswith("_") or name in self._placed or not _NAME.fullmatch(name):
            return ""
        self._placed.add(name)
        return f'<a id="{name}"></a>'

    def find_headings(self, blocks: Iterable[Block]) -> None:
        """Derive the addresses of all headings."""
        taken: dict[str, int] = {}
        for block in blocks:
            if not isinstance(block, Heading):
                continue
            slug = _NOT_IN_SLUG.sub("", texts(block.runs).strip().lower()).replace(" ", "-")
            count = taken.get(slug, 0)
            taken[slug] = count + 1
            for name in block.bookmarks:
                self._slugs.setdefault(name, f"{slug}-{count}" if count else slug)

    def address(self, link: str) -> str:
        """Return where a link leads; empty for a place that does not exist."""
        if not link.startswith("#"):
            return link
        name = link[1:]
        if name in self._slugs:
            return f"#{self._slugs[name]}"
        return link if name in self._placed else ""
