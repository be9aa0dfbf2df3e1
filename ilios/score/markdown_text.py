"""What a reader sees in Markdown: its text, words, headings, table rows, list items and links."""

import html
import re
import unicodedata
from collections.abc import Iterator

QUOTES = str.maketrans(
    {"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-"}
)
LIGATURES = str.maketrans(
    {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl"}
)

Row = tuple[str, ...]
Table = list[Row]

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]*)\)")
_AUTOLINK = re.compile(r"<((?:https?:|mailto:)[^<>\s]*)>")
_TAG = re.compile(
    r"(?<!\\)</?(?:a|b|br|caption|code|del|div|em|h[1-6]|hr|i|img|ins|li|mark|ol|p|pre|s|span|strong|sub"
    r"|sup|table|tbody|td|tfoot|th|thead|tr|u|ul)\b[^<>]{0,80}>",
    re.IGNORECASE,
)
_RULE = re.compile(r"^[ \t]*\|?[ \t:|-]*-{3,}[ \t:|-]*$", re.MULTILINE)
_LIST_SIGN = re.compile(r"^[ \t]*(?:[-+] |\d+[.)] (?=\[[ x]\]))", re.MULTILINE)
_MARKUP = re.compile(r"[|#*_`\\>~]")
_BROKEN_WORD = re.compile(r"(\w)[-\u00ad]\s*\n\s*(\w)")
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.+)$", re.MULTILINE)
_ITEM = re.compile(r"^[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+(.+)$", re.MULTILINE)
_NESTED_ITEM = re.compile(r"^(?:  |\t)[ \t]*(?:[-*+]|\w{1,9}[.)])[ \t]+(.+)$", re.MULTILINE)
_BOX = re.compile(r"^(?:\[[ x]\]|[\u2610-\u2612\u274f-\u2752\u25a0-\u25ab])\s*")
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)[^\n]*\n(.*?)^ {0,3}\1", re.MULTILINE | re.DOTALL)
_CELL_END = re.compile(r"(?<!\\)\|")
_WORD = re.compile(r"[^\W_]+")
_LAM_ALEF = re.compile("\u0644([\u0622\u0623\u0625\u0627]+)")
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff"
_UNSPACED_OR_RUN = re.compile(f"[{_UNSPACED}]|[^{_UNSPACED}]+")


def plain(markdown: str) -> str:
    """Return the text without markup, on one line; typographic quotes and dashes are plain."""
    text = _IMAGE.sub(" ", _COMMENT.sub(" ", markdown))
    text = _AUTOLINK.sub(r"\1", _LINK.sub(r"\1", text))
    text = html.unescape(_TAG.sub(" ", text))
    text = _LIST_SIGN.sub(" ", _RULE.sub(" ", text))
    text = _BROKEN_WORD.sub(r"\1\2", _MARKUP.sub(" ", text))
    return " ".join(text.translate(LIGATURES).translate(QUOTES).split())


def words(text: str) -> list[str]:
    """Return the words of plain text in lower case; each CJK character is a word."""
    normal = unicodedata.normalize("NFKC", text).casefold()
    # One sign for two letters: programs disagree in which order these are.
    normal = _LAM_ALEF.sub("\\1\u0644", normal)
    return [part for word in _WORD.findall(normal) for part in _split_ideographs(word)]


def blocks(markdown: str) -> list[str]:
    """Return the parts between blank lines, each without the headings in it."""
    return [_HEADING.sub("", block) for block in re.split(r"\n[ \t]*\n", markdown)]


def headings(markdown: str) -> list[str]:
    """Return the text of each heading."""
    found = (plain(text) for text in _HEADING.findall(_without_code(markdown)))
    return [text for text in found if text]


def items(markdown: str) -> list[str]:
    """Return the first line of each list item, without its sign and a box to tick."""
    return [_BOX.sub("", plain(text)) for text in _ITEM.findall(_without_code(markdown))]


def nested_items(markdown: str) -> list[str]:
    """Return the first line of each item of a list in another list."""
    return [plain(text) for text in _NESTED_ITEM.findall(_without_code(markdown))]


def links(markdown: str) -> list[tuple[str, str]]:
    """Return text and target of each link."""
    text = _IMAGE.sub(" ", markdown)
    found = [(plain(label), target) for label, target in _LINK.findall(text)]
    return found + [(target.removeprefix("mailto:"), target) for target in _AUTOLINK.findall(text)]


def code_lines(markdown: str) -> list[str]:
    """Return the lines of fenced code, with their indentation."""
    return [line.rstrip() for _, code in _FENCE.findall(markdown) for line in code.splitlines()]


def tables(markdown: str) -> list[Table]:
    """Return the rows of each table, written in Markdown or HTML."""
    return [*_pipe_tables(markdown), *_html_tables(markdown)]


def _pipe_tables(markdown: str) -> Iterator[Table]:
    table: Table = []
    for line in [*map(str.strip, markdown.splitlines()), ""]:
        if line.startswith("|") and len(line) > 2:
            if not re.fullmatch(r"[|\s:-]+", line) or not table:
                inner = line.removeprefix("|").removesuffix("|")
                table.append(tuple(plain(cell) for cell in _CELL_END.split(inner)))
        elif table:
            yield table
            table = []


def _html_tables(markdown: str) -> Iterator[Table]:
    flags = re.DOTALL | re.IGNORECASE
    for table in re.findall(r"<table.*?</table>", markdown, flags):
        yield [
            tuple(plain(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, flags))
            for row in re.findall(r"<tr.*?</tr>", table, flags)
        ]


def _without_code(markdown: str) -> str:
    return _FENCE.sub("", markdown)


def _split_ideographs(word: str) -> list[str]:
    """Split at each Han character, Kana or Thai letter: their text has no spaces."""
    if word.isascii():
        return [word]
    return _UNSPACED_OR_RUN.findall(word)
