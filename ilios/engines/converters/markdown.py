"""Markdown text: cleaning, tables, and corrections of what the PDF parser gets wrong."""

import re
import unicodedata
from collections.abc import Sequence
from statistics import median

_UNWANTED = re.compile(
    # C0 and C1 controls but tab and newline, lone surrogates, noncharacters, BOM, soft hyphens.
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]"
)
_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_BLANK_LINES = re.compile(r"\n{3,}")
_TRAILING = re.compile(r"[ \t]+$", re.MULTILINE)

LONG_EMPHASIS = 8
"""An emphasis of so many words inside a paragraph is mistaken: the parser takes the style of a
line's first words for that of the whole line."""

LABEL_WORDS = 6
PROSE_LINE_CHARS = 40
PROSE_LINES = 5
CODE_SIGNS = re.compile(r"[{};=<>()\[\]\\$#|]|={3,}|-{3,}|\d+\.\d\d\b")
CODE_SHARE = 0.15
"""Share of lines with a code sign above which a fenced block is not changed."""

_FENCE = re.compile(r"^(`{3,})\w*\n(.*?)^\1[^\S\n]*$", re.MULTILINE | re.DOTALL)
_RULE = re.compile(r"^---$", re.MULTILINE)
"""A horizontal rule: the separator of pages must not occur inside of one."""

_ONE_COLUMN_TABLE = re.compile(r"^\|[^|\n]*\|\n\|---\|\n(?:\|(?:\\\||[^|\n])*\|\n?)*", re.MULTILINE)
"""A table of one column, which is a frame around other content."""

_EMPHASIS = re.compile(r"(?<![*\\])(\*{1,3})(?![\s*])([^*\n]+?)(?<![\s\\])\1(?!\*)")
_LABEL = re.compile(r"([^:.]{1,60}:)\s+(.+)", re.DOTALL)


def clean(text: str, *, hard_breaks: bool = False) -> str:
    """Return the text in NFC, without control characters and runs of blank lines.

    Blanks at the end of a line go too, unless ``hard_breaks`` are meant by two of them.
    """
    text = clean_characters(text)
    text = text if hard_breaks else _TRAILING.sub("", text)
    return _BLANK_LINES.sub("\n\n", text).strip("\n")


def clean_characters(text: str) -> str:
    """Return the text in NFC, without control characters, with one kind of line ends."""
    return unicodedata.normalize("NFC", _UNWANTED.sub("", _LINE_ENDS.sub("\n", text)))


def one_line(text: str) -> str:
    """Return the text with every run of white space, line breaks too, as one space."""
    return " ".join(text.split())


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose first row is the heading; short rows are filled up."""
    width = max((len(row) for row in rows), default=0)
    if not width:
        return ""
    lines = []
    for row in rows:
        cells = [one_line(cell).replace("|", "\\|") for cell in row]
        lines.append("| " + " | ".join(cells + [""] * (width - len(cells))) + " |")
    lines.insert(1, "|" + " --- |" * width)
    return "\n".join(lines)


def fix_markdown(text: str) -> str:
    """Return a page's Markdown without empty or mistaken code blocks and without stray emphasis."""
    pieces = []
    end = 0
    for fence in _FENCE.finditer(text):
        pieces += [_fix_text(text[end : fence.start()]), _fix_code_block(fence)]
        end = fence.end()
    pieces.append(_fix_text(text[end:]))
    return clean("".join(pieces))


def _fix_code_block(fence: re.Match[str]) -> str:
    """Return a fenced block, or its text when that is prose in a monospaced font."""
    lines = fence[2].splitlines()
    full = [line for line in lines if line.strip()]
    if not full:
        return ""
    coded = sum(bool(CODE_SIGNS.search(line)) for line in full)
    prose = (
        len(full) >= PROSE_LINES
        and median(map(len, full)) >= PROSE_LINE_CHARS
        and coded <= CODE_SHARE * len(full)
        and not any(line.startswith(("    ", "\t")) for line in full)
    )
    return _join_wrapped_lines(lines) if prose else fence[0]


def _join_wrapped_lines(lines: list[str]) -> str:
    """Return hard-wrapped lines as paragraphs; a line much shorter than usual ends one."""
    usual = median(len(line) for line in lines if line.strip())
    text = ""
    ended = True
    for line in map(str.strip, lines):
        if not line:
            ended = True
            continue
        if ended:
            text += f"\n\n{line}"
        elif text[-1] == "-" and text[-2:-1].isalpha() and line[0].islower():
            text = text[:-1] + line
        else:
            text += f" {line}"
        ended = len(line) < usual * 0.7
    return text.strip()


def _fix_text(text: str) -> str:
    text = _RULE.sub("", _ONE_COLUMN_TABLE.sub(_unwrap_table, text))
    return "\n".join(
        line if line.lstrip().startswith("|") else _EMPHASIS.sub(_fix_emphasis, line)
        for line in text.split("\n")
    )


def _unwrap_table(table: re.Match[str]) -> str:
    rows = table[0].splitlines()
    lines = [row.strip("| ").replace("\\|", "|") for row in rows[:1] + rows[2:]]
    coded = sum(bool(CODE_SIGNS.search(line)) for line in lines)
    if len(lines) > 1 and 2 * coded >= len(lines):
        return "\n".join(["```", *lines, "```", ""])
    return "\n".join([*lines, ""])


def _fix_emphasis(emphasis: re.Match[str]) -> str:
    """Return an emphasis unchanged, limited to its label, or without its marks."""
    marks, words = emphasis[1], emphasis[2]
    whole = emphasis.start() == 0 and emphasis.end() == len(emphasis.string)
    if whole or len(words.split()) < LONG_EMPHASIS:
        return emphasis[0]
    label = _LABEL.fullmatch(words)
    if label and len(label[1].split()) <= LABEL_WORDS:
        return f"{marks}{label[1]}{marks} {label[2]}"
    return words
