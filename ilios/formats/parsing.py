"""Parsing of Markdown into HTML that executes and fetches nothing.

What looks like a tag and is none of a few for text and tables is text: Markdown of a scan may have
``<surname>`` in it. Links have one of a few schemes, and images are our own; of others the text
stands there. The sanitiser at the end does not rely on any of this.
"""

import re
from collections.abc import Sequence
from html import escape
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

MAX_EQUATION = 10_000  # characters

_INLINE_TAGS = ("sup", "sub", "u", "br", "s", "del", "ins", "mark", "b", "i", "em", "strong")
_TABLE_TAGS = ("table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th")
_TEXT_TAGS = ("p", "ul", "ol", "li", "blockquote", "pre", "code", "a", "img", "hr", "span")
_HEADING_TAGS = ("h1", "h2", "h3", "h4", "h5", "h6")

_INLINE_TAG = re.compile(
    rf"</?(?:{'|'.join(_INLINE_TAGS)})(?=[\s/>])[^<>]*>|<a id=\"[\w.-]+\">|</a>", re.IGNORECASE
)
_TABLE_TAG = re.compile(
    rf"<(?!/?(?:{'|'.join((*_INLINE_TAGS, *_TABLE_TAGS, *_TEXT_TAGS))})(?=[\s/>])[^<>]*>|!--)",
    re.IGNORECASE,
)
_OWN_IMAGE = re.compile(r"/api/documents/[a-z0-9]{20,30}/images/[0-9a-f]{32}\.[a-z]{3,4}")
_WEB_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_NOTE = re.compile(r"\[\^([\w.-]{1,64})\](:?)")
_NOTE_TEXT = re.compile(
    r"^\[\^[\w.-]{1,64}\]:[^\n]*(?:\n(?: {4}[^\n]*|[ \t]*(?=\n)))+", re.MULTILINE
)
_INDENTATION = re.compile(r"^ {4}", re.MULTILINE)
_ANCHOR = re.compile(r"(?!page-)[\w.-]{1,100}")
_NOT_IN_ANCHOR = re.compile(r"[^\w\- ]")


def _filter_attribute(_tag: str, name: str, value: str) -> str | None:
    match name:
        case "src":
            return value if _OWN_IMAGE.fullmatch(value) else None
        case "id":
            return value if _ANCHOR.fullmatch(value) else None
        case "colspan" | "rowspan" | "start" | "value":
            return value if value.isdecimal() and len(value) < 10 else None
        case _:
            return value


_cleaner = nh3.Cleaner(
    tags={*_INLINE_TAGS, *_TABLE_TAGS, *_TEXT_TAGS, *_HEADING_TAGS},
    attributes={
        "a": {"href", "id", "title"},
        **{tag: {"id"} for tag in _HEADING_TAGS},
        "img": {"src", "alt"},
        "li": {"value"},
        "ol": {"start"},
        "sup": {"id"},
        "td": {"colspan", "rowspan"},
        "th": {"colspan", "rowspan"},
    },
    allowed_classes={"span": {"math"}},
    attribute_filter=_filter_attribute,
    url_schemes={"http", "https", "mailto", "tel"},
    url_relative=lambda url: url if url.startswith("#") or _OWN_IMAGE.fullmatch(url) else None,
    link_rel="noopener noreferrer nofollow",
)


class PageParser:
    """A parser of pieces of one page, whose notes and link definitions are its own."""

    def __init__(self, number: int, *, has_anchors: bool = False) -> None:
        self._environment: dict[str, Any] = {"page": number, "references": {}}
        if has_anchors:
            self._environment["anchors"] = {}

    def define(self, label: str, url: str) -> None:
        """Add the address of links that are written with a label."""
        self._environment["references"].setdefault(
            " ".join(label.split()).lower().upper(), {"title": "", "href": url}
        )

    def text(self, markdown: str) -> str:
        """Return the HTML of text, lists and code."""
        return _cleaner.clean(_parser.render(markdown, self._environment)).replace("<p></p>\n", "")

    def inline(self, markdown: str) -> str:
        """Return the HTML of a line, or of a cell of a table."""
        return _cleaner.clean(_parser.renderInline(markdown, self._environment))


def without_indentation(markdown: str) -> str:
    """Return a page whose notes of several paragraphs are no code."""
    if "[^" not in markdown:
        return markdown
    return _NOTE_TEXT.sub(lambda note: _INDENTATION.sub("", note[0]), markdown)


def html_table(block: str) -> str:
    """Return the sanitised HTML of a table that is written as HTML."""
    return _cleaner.clean(_TABLE_TAG.sub("&lt;", block))


class _Renderer(RendererHTML):
    """A renderer whose output has no tags but those a document may have."""

    def html_inline(self, tokens: Sequence[Token], idx: int, *_: object) -> str:
        tag = tokens[idx].content
        if tag.startswith("<!--"):
            return ""
        return tag if _INLINE_TAG.fullmatch(tag) else escape(tag)

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        image = tokens[idx]
        source = str(image.attrs.get("src", ""))
        text = escape(self.renderInlineAsText(image.children, options, env))
        if _OWN_IMAGE.fullmatch(source):
            return f'<img src="{source}" alt="{text}">'
        if _WEB_ADDRESS.match(source):
            return f'<a href="{escape(source)}">{text or escape(source)}</a>'
        return text

    def heading_open(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
    ) -> str:
        """Give a heading the anchor that other renderers derive, where links may lead to it."""
        tag = tokens[idx].tag
        if (anchors := env.get("anchors")) is None:
            return f"<{tag}>"
        text = self.renderInlineAsText(tokens[idx + 1].children, options, env)
        anchor = _NOT_IN_ANCHOR.sub("", text.strip().lower()).replace(" ", "-")
        anchors[anchor] = count = anchors.get(anchor, -1) + 1
        return f'<{tag} id="{anchor}-{count}">' if count else f'<{tag} id="{anchor}">'

    def math(self, tokens: Sequence[Token], idx: int, *_: object) -> str:
        return f'<span class="math">{escape(tokens[idx].content)}</span>'

    def note(self, tokens: Sequence[Token], idx: int, _options: OptionsDict, env: EnvType) -> str:
        label = tokens[idx].content
        name = f"note-{env['page']}-{label}"
        if tokens[idx].info:
            before = "<br>" if tokens[idx].info == "next" else ""
            return f'{before}<sup id="{name}">{label}</sup>'
        return f'<sup><a href="#{name}">{label}</a></sup>'


def _parse_math(state: StateInline, silent: bool) -> bool:  # noqa: FBT001  # as the library calls it
    """Recognise LaTeX between dollars, as Pandoc does: a price is none."""
    source, start = state.src, state.pos
    if source[start] != "$":
        return False
    sign = "$$" if source.startswith("$$", start) else "$"
    first = start + len(sign)
    last = source.find(sign, first, min(state.posMax, first + MAX_EQUATION))
    if last <= first:
        return False
    if sign == "$":
        is_price = source[last + 1 : last + 2].isdecimal()
        if source[first].isspace() or source[last - 1] in " \t\n\\" or is_price:
            return False
    if not silent:
        state.push("math", "", 0).content = source[start : last + len(sign)]
    state.pos = last + len(sign)
    return True


def _parse_note(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
    """Recognise ``[^1]``, and ``[^1]:`` at the beginning of a line, where the note is."""
    if state.src[state.pos] != "[" or not (match := _NOTE.match(state.src, state.pos)):
        return False
    is_first = state.pos == 0
    is_definition = bool(match[2]) and (is_first or state.src[state.pos - 1] == "\n")
    if not silent:
        token = state.push("note", "", 0)
        token.content = match[1]
        if is_definition:
            token.info = "first" if is_first else "next"
    state.pos = match.end() if is_definition else match.end(1) + 1
    return True


def _number_items(state: StateCore) -> None:
    """Give items of a list the numbers they are written with, where counting gives others."""
    expected: list[int] = []
    for token in state.tokens:
        match token.type:
            case "ordered_list_open":
                expected.append(int(token.attrs.get("start", 1)))
            case "ordered_list_close":
                expected.pop()
            case "list_item_open" if token.info:
                number = int(token.info)
                if number != expected[-1]:
                    token.attrSet("value", str(number))
                expected[-1] = number + 1


def _make_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"xhtmlOut": False}, renderer_cls=_Renderer)
    # Definitions would vanish with their text, and a definition may stand in another piece.
    parser.disable(["html_block", "reference"])
    parser.enable("strikethrough")
    parser.core.ruler.after("block", "item_numbers", _number_items)
    parser.inline.ruler.before("escape", "math", _parse_math)
    parser.inline.ruler.before("link", "note", _parse_note)
    # Any target: one that is not allowed is dropped later, and not shown as text.
    parser.validateLink = lambda url: True  # type: ignore[method-assign]  # noqa: ARG005
    return parser


_parser = _make_parser()
