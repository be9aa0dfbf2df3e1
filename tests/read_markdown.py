"""Markdown read by another program's parser, as the events of ``tests.drawn_documents``."""

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.drawn_documents import Event

_TAGS = {"strong_open": "<b>", "strong_close": "</b>", "em_open": "<i>", "em_close": "</i>",
         "softbreak": " ", "hardbreak": " "}  # fmt: skip

_CODE = re.compile(r"^ *(`{3,})\n.*?^ *\1$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"^ *(\d{1,9})[.)] ", re.MULTILINE)


def events_of(markdown: str) -> list[Event]:
    """Return headings, texts, items, rows and code of Markdown, in order."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    reader = _Reader()
    for token in parser.parse(markdown):
        kind, _, side = token.type.rpartition("_")
        if side == "open":
            reader.open(kind, token)
        elif side == "close":
            reader.close(kind)
        elif token.type == "inline":
            reader.text(_inline(token))
        elif token.content.strip() != "<!-- -->":
            reader.events.append(
                ("rule",)
                if token.type == "hr"
                else ("code", token.info, token.content.rstrip("\n"))
            )
    return reader.events


def numbers_written(markdown: str) -> list[int]:
    """Return the numbers with which lines of Markdown begin, outside of code."""
    text = _CODE.sub("", markdown)
    return [int(found) for found in _NUMBER.findall(text)]


def numbers_shown(markdown: str) -> list[int]:
    """Return the numbers of items as a reader of the rendered Markdown sees them."""
    items = (one for one in events_of(markdown) if one[0] == "item")
    return [number for _, _, number, *_ in items if isinstance(number, int)]


class _Reader:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self._open: list[str] = []
        self._counts: list[int] = []
        self._numbers: list[int | None] = []
        self._row: list[str] = []
        self._item_begins = False
        self._level = 0

    def open(self, kind: str, token: Token) -> None:
        if kind == "list_item":
            self._numbers.append(self._count() if self._open[-1] == "ordered_list" else None)
            self._item_begins = True
        elif kind == "ordered_list":
            self._counts.append(int(token.attrs.get("start", 1)))
        elif kind == "heading":
            self._level = int(token.tag[1])
        elif kind == "tr":
            self._row = []
        self._open.append(kind)

    def _count(self) -> int:
        """Return the number that readers see, whatever number is written."""
        self._counts[-1] += 1
        return self._counts[-1] - 1

    def close(self, kind: str) -> None:
        self._open.pop()
        if kind == "ordered_list":
            self._counts.pop()
        if kind == "list_item":
            self._numbers.pop()
        elif kind == "tr":
            self.events.append(("row", *self._row))

    def text(self, text: str) -> None:
        if self._open[-1] in ("th", "td"):
            self._row.append(text)
        elif self._open[-1] == "heading":
            self.events.append(("heading", self._level, text))
        elif self._item_begins:
            self._item_begins = False
            self.events.append(("item", len(self._numbers), self._numbers[-1], text))
        elif text:
            self.events.append(("quote" if "blockquote" in self._open else "text", text))


def _inline(token: Token) -> str:
    pieces = []
    for child in token.children or []:
        if child.type == "code_inline":
            pieces.append(f"<c>{child.content}</c>")
        elif child.type == "image":
            pieces.append(f"![{child.content}]")
        else:
            pieces.append(_TAGS.get(child.type, child.content))
    return " ".join("".join(pieces).split())
