"""What the PDF parser's Markdown gets wrong often enough to be set right afterwards."""

import re
from statistics import median

from ilios.engines.converters import markdown

LONG_EMPHASIS = 8
"""Words inside a paragraph that are rarely all meant to stand out.

The parser takes the style of a line's first words for that of the whole line.
"""

LABEL_WORDS = 6
PROSE_LINE_CHARS = 40
PROSE_LINES = 5
CODE_SIGNS = re.compile(r"[{};=<>()\[\]\\$#|]|={3,}|-{3,}|\d+\.\d\d\b")
CODE_SHARE = 0.15
"""Share of lines with such a sign above which a fenced block is left alone."""

_FENCE = re.compile(r"^```\w*\n(.*?)^```[^\S\n]*$", re.MULTILINE | re.DOTALL)
_RULE = re.compile(r"^---$", re.MULTILINE)
"""Lines drawn across a page; between pages the same sign has a meaning."""

_ONE_COLUMN_TABLE = re.compile(r"^\|[^|\n]*\|\n\|---\|\n(?:\|(?:\\\||[^|\n])*\|\n?)*", re.MULTILINE)
"""A table of one column, which is a frame around something else."""

_EMPHASIS = re.compile(r"(?<![*\\])(\*{1,3})(?![\s*])([^*\n]+?)(?<![\s\\])\1(?!\*)")
_LABEL = re.compile(r"([^:.]{1,60}:)\s+(.+)", re.DOTALL)


def fix_markdown(text: str) -> str:
    """Return a page's Markdown without empty or mistaken code blocks and without stray emphasis."""
    pieces = []
    end = 0
    for fence in _FENCE.finditer(text):
        pieces += [_fix_text(text[end : fence.start()]), _fix_code_block(fence)]
        end = fence.end()
    pieces.append(_fix_text(text[end:]))
    return markdown.clean("".join(pieces))


def _fix_code_block(fence: re.Match[str]) -> str:
    """Return a fenced block, or its text when that is prose in a typewriter's letters."""
    lines = fence[1].splitlines()
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
    """Return an emphasis as it was probably meant: as it is, on its label only, or not at all."""
    marks, words = emphasis[1], emphasis[2]
    whole = emphasis.start() == 0 and emphasis.end() == len(emphasis.string)
    if whole or len(words.split()) < LONG_EMPHASIS:
        return emphasis[0]
    label = _LABEL.fullmatch(words)
    if label and len(label[1].split()) <= LABEL_WORDS:
        return f"{marks}{label[1]}{marks} {label[2]}"
    return words
