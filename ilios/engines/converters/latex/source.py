"""A LaTeX source made ready: without comments, verbatim text put aside, macros expanded."""

import re

from msgspec import Struct

from ilios.engines.converters.latex.structure import Structure

MAX_EXPANDED = 4 * 1024 * 1024
"""Characters that expanding macros may add."""
MAX_CALLS = 200_000
"""Macros that are expanded."""
MAX_DEPTH = 15
"""Macros within macros."""

_VERBATIM = ("verbatim", "verbatim*", "Verbatim", "lstlisting", "minted", "alltt", "comment",
             "filecontents", "filecontents*")  # fmt: skip
_RAW = re.compile(
    r"\\begin\{(?P<environment>" + "|".join(map(re.escape, _VERBATIM)) + r")\}"
    r"|\\(?:verb|lstinline)\*?(?P<mark>[^A-Za-z\s*\[{])"
    r"|\\mintinline\{[^{}]*\}(?P<inline>[^A-Za-z\s*\[])"
    r"|\\.|(?P<comment>%[^\n]*(?:\n[ \t]*(?!\n)|\n?))",
    re.DOTALL,
)
_LANGUAGE = re.compile(r"language\s*=\s*\{?\s*(?:\[[^\]]*\])?\s*([A-Za-z0-9+#]+)")
_DEFINITION = re.compile(
    r"\\(?P<kind>(?:re)?newcommand|providecommand|DeclareMathOperator|DeclareRobustCommand|def)\*?\s*"
    r"(?:\{\s*\\(?P<braced>[A-Za-z]+)\s*\}|\\(?P<bare>[A-Za-z]+))"
)
_PARAMETERS = re.compile(r"\s*(?:#(\d))*")
_CALL = re.compile(r"\\([A-Za-z]+)|\\.", re.DOTALL)
_PLACE = re.compile(r"#([1-9])")


class Verbatim(Struct, frozen=True):
    """Text that is shown as it is; ``inline`` within a paragraph."""

    text: str
    language: str = ""
    inline: bool = False


class _Macro(Struct, frozen=True):
    body: str
    arguments: int = 0
    default: str | None = None


class Source(Struct, frozen=True):
    """A prepared source; the n-th verbatim text is at the placeholder of its number.

    One that is not ``complete`` has macros that were not expanded.
    """

    text: str
    verbatim: list[Verbatim]
    complete: bool = True


PLACEHOLDER = re.compile("\ue000([0-9]{1,7})\ue001")


def prepare(text: str) -> Source:
    """Prepare a source."""
    text = text.replace("\ue000", "").replace("\ue001", "").replace("\r\n", "\n")
    verbatim: list[Verbatim] = []
    text = _set_aside(text, verbatim)
    macros: dict[str, _Macro] = {}
    text = _without_definitions(text, macros)
    expansion = _Expansion(macros)
    if macros:
        text = expansion.expand(text, 0)
    return Source(text, verbatim, expansion.complete)


def _set_aside(text: str, verbatim: list[Verbatim]) -> str:
    pieces = []
    at = 0
    while found := _RAW.search(text, at):
        pieces.append(text[at : found.start()])
        at = found.end()
        if name := found["environment"]:
            at = _environment(text, found, name, verbatim, pieces)
        elif mark := found["mark"] or found["inline"]:
            end = text.find("}" if mark == "{" else mark, at)
            end = len(text) if end < 0 else end
            pieces.append(_placeholder(verbatim, Verbatim(text[at:end], inline=True)))
            at = end + 1
        elif found["comment"] is None:
            pieces.append(found[0])
    pieces.append(text[at:])
    return "".join(pieces)


def _environment(
    text: str, found: re.Match[str], name: str, verbatim: list[Verbatim], pieces: list[str]
) -> int:
    ending = f"\\end{{{name}}}"
    end = text.find(ending, found.end())
    body = text[found.end() : len(text) if end < 0 else end]
    first, _, rest = body.partition("\n")
    language = ""
    if name == "minted":
        language = re.sub(r"\[[^\]]*\]", "", first).strip("{} \t")
    elif option := _LANGUAGE.search(first):
        language = option[1].lower()
    if name not in ("comment", "filecontents", "filecontents*"):
        starts = first.lstrip().startswith("[") or name == "minted" or not first.strip()
        shown = rest if starts else body
        pieces.append(_placeholder(verbatim, Verbatim(shown.rstrip(), language)))
    return len(text) if end < 0 else end + len(ending)


def _placeholder(verbatim: list[Verbatim], text: Verbatim) -> str:
    verbatim.append(text)
    return f"\ue000{len(verbatim) - 1}\ue001"


def _without_definitions(text: str, macros: dict[str, _Macro]) -> str:
    """Collect definitions of macros, and return the source without them."""
    structure = Structure(text)
    pieces = []
    at = 0
    while found := _DEFINITION.search(text, at):
        pieces.append(text[at : found.start()])
        at = found.end()
        name = found["braced"] or found["bare"]
        count, default = 0, None
        if found["kind"] == "def":
            parameters = _PARAMETERS.match(text, at)
            count, at = (
                int((parameters and parameters[1]) or 0),
                parameters.end() if parameters else at,
            )
        elif found["kind"] != "DeclareMathOperator":
            number, at = structure.option(at, len(text))
            count = int(number) if number.isdecimal() and len(number) == 1 else 0
            before = at
            first, at = structure.option(at, len(text))
            default = first if at > before else None
        body = structure.argument(at, len(text))
        if body is None:
            continue
        at = body[2]
        inner = text[body[0] : body[1]]
        if found["kind"] == "DeclareMathOperator":
            inner = rf"\operatorname{{{inner}}}"
        macros.setdefault(name, _Macro(inner, count, default))
    pieces.append(text[at:])
    return "".join(pieces)


class _Expansion:
    """Expands macros as long as there is room for more text."""

    def __init__(self, macros: dict[str, _Macro]) -> None:
        self._macros = macros
        self.complete = True
        self._left = MAX_EXPANDED
        self._calls_left = MAX_CALLS

    def expand(self, text: str, depth: int) -> str:
        structure = Structure(text)
        pieces = []
        at = 0
        while found := _CALL.search(text, at):
            pieces.append(text[at : found.start()])
            at = found.end()
            macro = self._macros.get(found[1] or "")
            if macro is None or not self._has_room(depth):
                pieces.append(found[0])
                continue
            self._calls_left -= 1
            values, at = _arguments(structure, macro, at)
            body = _PLACE.sub(lambda place, values=values: _nth(values, place), macro.body)  # type: ignore[misc]
            self._left -= len(body)
            pieces.append(self.expand(body, depth + 1))
        pieces.append(text[at:])
        return "".join(pieces)

    def _has_room(self, depth: int) -> bool:
        room = depth < MAX_DEPTH and self._left > 0 and self._calls_left > 0
        self.complete = self.complete and room
        return room


def _nth(values: list[str], place: re.Match[str]) -> str:
    number = int(place[1])
    return values[number - 1] if number <= len(values) else ""


def _arguments(structure: Structure, macro: _Macro, at: int) -> tuple[list[str], int]:
    values = []
    limit = len(structure.text)
    if macro.default is not None:
        before = at
        value, at = structure.option(at, limit)
        values.append(value if at > before else macro.default)
    while len(values) < macro.arguments:
        found = structure.argument(at, limit)
        if found is None:
            break
        values.append(structure.text[found[0] : found[1]])
        at = found[2]
    return values, at
