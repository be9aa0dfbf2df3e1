"""Text within a paragraph: runs of one style as Markdown."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

import msgspec
from msgspec import Struct

_SIGNS = r"[\\`*_]|~~|<(?=[A-Za-z/!?])|&(?=#?[A-Za-z0-9]{1,32};)"
_ESCAPED = re.compile(rf"({_SIGNS}|\[(?=\^))")
"""What would begin a code span, an emphasis, HTML, the name of a character, or a note. Not ``|``,
which tables escape."""

_ESCAPED_IN_LINK = re.compile(rf"({_SIGNS}|\[)")
_BEFORE_BRACKET = re.compile(r"[^\]\n]*(?:\](\()?|\n|$)")
"""Text up to a bracket that closes, with what makes it that of a link."""

_INSIDE_WORD = re.compile(r"(?<=\w)\\_(?=\w)")
_LINE_START = re.compile(r"^([^\S\n]*)(?:([#>+=-])|(\d{1,9})([.)]))(?=\s|$)", re.MULTILINE)
"""What would begin a heading, a quote, a list or an underline."""

_LINK_SCHEMES = re.compile(r"(?:https?|mailto|tel|ftp):", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_CONTROLS = re.compile(r"[\x00-\x20\x7f]")


class Run(Struct, frozen=True):
    """A piece of text in one style. ``markup`` is Markdown already, and not escaped."""

    text: str
    bold: bool = False
    italic: bool = False
    strike: bool = False
    underlined: bool = False
    subscript: bool = False
    superscript: bool = False
    code: bool = False
    markup: bool = False
    link: str = ""

    @property
    def style(self) -> "Run":
        """The style without its text."""
        return msgspec.structs.replace(self, text="")


def escape(text: str) -> str:
    """Return text whose characters are shown by Markdown as they are, within a paragraph.

    Underscores inside of a word stay, which no Markdown of today takes for emphasis.
    """
    if "](" not in text:
        return _INSIDE_WORD.sub("_", _ESCAPED.sub(r"\\\1", text))

    def mark(found: re.Match[str]) -> str:
        pattern = _ESCAPED_IN_LINK if found[1] else _ESCAPED
        return pattern.sub(r"\\\1", found[0])

    return _INSIDE_WORD.sub("_", _BEFORE_BRACKET.sub(mark, text))


def escape_line_starts(text: str) -> str:
    """Return lines of a paragraph of which none begins a heading, a list or a quote."""

    def mark(found: re.Match[str]) -> str:
        blank, sign, number, point = found.groups()
        return f"{blank}\\{sign}" if sign else f"{blank}{number}\\{point}"

    return _LINE_START.sub(mark, text)


def safe_link(url: str) -> str:
    """Return an address that may stand in a link, encoded for it; empty for any other.

    Scripts and data are no addresses; neither is anything a reader cannot open elsewhere.
    """
    url = _CONTROLS.sub(lambda found: "%20" if found[0] == " " else "", url.strip())
    if _SCHEME.match(url) and not _LINK_SCHEMES.match(url):
        return ""
    return url.replace("(", "%28").replace(")", "%29").replace("<", "%3C").replace(">", "%3E")


def render(runs: Iterable[Run]) -> str:
    """Return runs as the Markdown of one paragraph; line breaks in a text become hard ones."""
    pieces = []
    for link, group in groupby(_closable(_join(runs)), key=lambda run: run.link):
        text = "".join(_styled(run) for run in _join(group))
        address = safe_link(link) if link else ""
        if address and text.strip():
            before, text, after = _split_blanks(text)
            pieces.append(f"{before}[{text}]({address}){after}")
        else:
            pieces.append(text)
    return "".join(pieces)


def _join(runs: Iterable[Run]) -> list[Run]:
    """Join neighbours of one style, which programs split at will."""
    joined: list[Run] = []
    for _, group in groupby((run for run in runs if run.text), key=_style):
        first, *more = group
        text = "".join([first.text, *(run.text for run in more)])
        joined.append(msgspec.structs.replace(first, text=text) if more else first)
    return joined


def _style(run: Run) -> tuple[object, ...]:
    marks = run.bold, run.italic, run.strike, run.underlined, run.subscript, run.superscript
    return *marks, run.code, run.markup, run.link


def _closable(runs: Sequence[Run]) -> list[Run]:
    """Return runs without emphasis that Markdown would not see (CommonMark, 6.2).

    A mark between a sign of punctuation and a letter neither opens nor closes: the sign is put
    outside of the emphasis.
    """
    found: list[Run] = []
    for place, run in enumerate(runs):
        if run.markup or run.code or not (run.bold or run.italic or run.strike):
            found.append(run)
            continue
        before = runs[place - 1].text[-1:] if place else ""
        after = runs[place + 1].text[:1] if place + 1 < len(runs) else ""
        start, end = 0, len(run.text)
        while before.isalnum() and start < end and _is_sign(run.text[start]):
            start += 1
        while after.isalnum() and end > start and _is_sign(run.text[end - 1]):
            end -= 1
        pieces = run.text[:start], run.text[start:end], run.text[end:]
        plain = Run("", link=run.link, subscript=run.subscript, superscript=run.superscript)
        for text, style in zip(pieces, (plain, run, plain), strict=True):
            if text:
                found.append(msgspec.structs.replace(style, text=text))
    return found


def _is_sign(character: str) -> bool:
    return not character.isalnum() and not character.isspace()


def _split_blanks(text: str) -> tuple[str, str, str]:
    inner = text.strip()
    at = text.find(inner)
    return text[:at], inner, text[at + len(inner) :]


def _styled(run: Run) -> str:
    if run.markup:
        return run.text
    before, text, after = _split_blanks(run.text)
    if not text:
        return run.text.replace("\n", "  \n")
    if run.code:
        return f"{before}{_code(text)}{after}"
    text = escape(text).replace("\n", "  \n")
    for active, opening, closing in (
        (run.subscript, "<sub>", "</sub>"),
        (run.superscript, "<sup>", "</sup>"),
        (run.strike, "~~", "~~"),
        (run.italic, "*", "*"),
        (run.bold, "**", "**"),
    ):
        if active:
            text = f"{opening}{text}{closing}"
    return f"{before}{text}{after}"


def _code(text: str) -> str:
    longest = max((len(found) for found in re.findall("`+", text)), default=0)
    marks = "`" * (longest + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{marks}{pad}{text}{pad}{marks}"
