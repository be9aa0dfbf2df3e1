"""Equations of Office (OMML; ECMA-376, part 1, 22.1) as LaTeX."""

import re
import unicodedata
from collections.abc import Callable, Iterable

from ilios.engines.converters.docx.latex_signs import (
    ACCENTS,
    BRACES,
    DELIMITERS,
    FUNCTIONS,
    LETTERS,
    OPERATORS,
)
from ilios.engines.converters.docx.wordml import OFF, Element, M, local_name

MAX_DEPTH = 60
"""Of deeper parts there is only the text, to stay below Python's recursion limit."""

_VAL = f"{M}val"
_WORDS = re.compile(r"[^\W\d_]{2,} +[^\W\d_]{2,}")
_NAME = re.compile(r"[^\W\d_]{2,}")
_ALPHABETS = {
    "double-struck": "mathbb",
    "script": "mathcal",
    "fraktur": "mathfrak",
    "sans-serif": "mathsf",
    "monospace": "mathtt",
}
_STYLES = {"p": "mathrm", "b": "mathbf", "bi": "boldsymbol"}
_MATRICES = {
    ("(", ")"): "pmatrix",
    ("[", "]"): "bmatrix",
    ("|", "|"): "vmatrix",
    ("{", "}"): "Bmatrix",
}


def latex(node: Element) -> str:
    """Return the LaTeX of an ``m:oMath`` element."""
    return " ".join(_Node(node, 0).text().split())


class _Node:
    """A part of an equation and its depth."""

    def __init__(self, node: Element, depth: int) -> None:
        self._node = node
        self._depth = depth
        self.name = local_name(node)

    def text(self) -> str:
        """Return the LaTeX of the part."""
        if self.is_setting:
            return ""
        if self._depth > MAX_DEPTH:
            return run_text("".join(one.text or "" for one in self._node.iter(f"{M}t")))
        if self.name == "r":
            return self._run()
        render = _RENDERERS.get(self.name)
        return render(self) if render else self.inner()

    def inner(self) -> str:
        """Return the LaTeX of all that is in the part."""
        return "".join(_Node(child, self._depth + 1).text() for child in self._node)

    def children(self, *names: str) -> "list[_Node]":
        """Return the direct parts of these names in order."""
        parts = (_Node(child, self._depth + 1) for child in self._node)
        return [part for part in parts if part.name in names]

    def child_text(self, name: str) -> str:
        """Return the LaTeX of the first part of this name."""
        return "".join(part.text() for part in self.children(name)[:1]).strip()

    def property_value(self, name: str, default: str) -> str:
        """Return the value of a property of the part, which may be empty."""
        found = self._node.find(f"*/{M}{name}")
        return default if found is None else str(found.get(_VAL, ""))

    def has_property(self, name: str) -> bool:
        """Whether a switch of the part is on."""
        found = self._node.find(f"*/{M}{name}")
        return found is not None and found.get(_VAL, "1") not in OFF

    def sole_part(self) -> "_Node | None":
        """Return the only part besides properties; None if there are several."""
        parts = [
            one for child in self._node if not (one := _Node(child, self._depth + 1)).is_setting
        ]
        return parts[0] if len(parts) == 1 else None

    @property
    def is_setting(self) -> bool:
        """Whether this is a set of properties."""
        return self.name.endswith("Pr")

    def _run(self) -> str:
        text = "".join(
            child.text or "" for child in self._node.iter() if local_name(child) in ("t", "delText")
        )
        if not text:
            return ""
        if not text.strip():
            return " "
        if (self.has_property("nor") and len(text.strip()) > 1) or _WORDS.search(text):
            return f"\\text{{{_plain(text)}}}"
        written = run_text(text)
        alphabet = _ALPHABETS.get(self.property_value("scr", ""))
        style = alphabet or _STYLES.get(self.property_value("sty", ""))
        name = text.strip()
        plain = style == "mathrm" and (not _NAME.fullmatch(name) or name in FUNCTIONS)
        if style is None or plain or not any(character.isalnum() for character in text):
            return written
        return f"\\{style}{{{written.strip()}}}"


def run_text(text: str) -> str:
    """Return the text of an equation as LaTeX."""
    if text.strip() in FUNCTIONS:
        return f"\\{text.strip()} "
    return "".join(_sign(character) for character in text)


def _sign(character: str) -> str:
    if "\U0001d400" <= character <= "\U0001d7ff":  # mathematical letters and digits
        character = unicodedata.normalize("NFKC", character)
    if character in LETTERS:
        return f"{LETTERS[character]} "
    operator = OPERATORS.get(character)
    return f"{operator} " if operator else character


def _plain(text: str) -> str:
    return "".join(f"\\{one}" if one in "{}%&#$_" else one for one in text.replace("\\", ""))


def _limits(part: _Node) -> str:
    low, high = part.child_text("sub"), part.child_text("sup")
    low = "" if part.has_property("subHide") else low
    high = "" if part.has_property("supHide") else high
    return (f"_{{{low}}}" if low else "") + (f"^{{{high}}}" if high else "")


def _nary(part: _Node) -> str:
    sign = part.property_value("chr", "\u222b")
    return f"{OPERATORS.get(sign, sign)}{_limits(part)} {part.child_text('e')}"


def _delimited(part: _Node) -> str:
    signs = part.property_value("begChr", "("), part.property_value("endChr", ")")
    pieces = part.children("e")
    alone = pieces[0].sole_part() if len(pieces) == 1 else None
    if alone is not None and alone.name == "m" and signs in _MATRICES:
        return _matrix(alone, _MATRICES[signs])
    if alone is not None and alone.name == "eqArr" and signs == ("{", ""):
        return _lines(alone, "cases")
    begin, end = (DELIMITERS.get(sign, sign) for sign in signs)
    between = part.property_value("sepChr", "|") if len(pieces) > 1 else ""
    if between == "|":
        between = " \\middle| " if part.property_value("sepChr", "") else ", "
    inner = between.join(piece.text().strip() for piece in pieces)
    return f"\\left{begin}{inner}\\right{end}"


def _root(part: _Node) -> str:
    degree = "" if part.has_property("degHide") else part.child_text("deg")
    return f"\\sqrt{f'[{degree}]' if degree else ''}{{{part.child_text('e')}}}"


def _fraction(part: _Node) -> str:
    over, under = part.child_text("num"), part.child_text("den")
    match part.property_value("type", "bar"):
        case "noBar":
            return f"\\binom{{{over}}}{{{under}}}"
        case "lin" | "skw":
            return f"{{{over}}}/{{{under}}}"
    return f"\\frac{{{over}}}{{{under}}}"


def _matrix(part: _Node, kind: str = "matrix") -> str:
    rows = (
        " & ".join(cell.text().strip() for cell in row.children("e")) for row in part.children("mr")
    )
    return _environment(kind, rows)


def _lines(part: _Node, kind: str = "aligned") -> str:
    """Return an array of equations, in which ``&`` marks where they are aligned."""
    lines = [piece.text().strip().replace("\\& ", "&") for piece in part.children("e")]
    return lines[0].replace("&", "") if len(lines) == 1 else _environment(kind, lines)


def _environment(kind: str, rows: Iterable[str]) -> str:
    inner = " \\\\ ".join(rows)
    return f"\\begin{{{kind}}}{inner}\\end{{{kind}}}"


def _braced(part: _Node) -> str:
    sign = part.property_value("chr", "\u23df")
    above = part.property_value("pos", "bot") == "top"
    command = BRACES.get(sign) or ("overbrace" if above else "underbrace")
    return f"\\{command}{{{part.child_text('e')}}}"


def _accented(part: _Node) -> str:
    accent = ACCENTS.get(part.property_value("chr", "\u0302"), "hat")
    inner = part.child_text("e")
    if accent in ("hat", "tilde") and len(inner) > 1 and not inner.startswith("\\"):
        accent = f"wide{accent}"
    return f"\\{accent}{{{inner}}}"


def _bar(part: _Node) -> str:
    where = "overline" if part.property_value("pos", "bot") == "top" else "underline"
    if part.property_value("pos", "") == "":
        where = "overline"
    return f"\\{where}{{{part.child_text('e')}}}"


def _function(part: _Node) -> str:
    name = part.child_text("fName")
    if name.isalpha() and len(name) > 1:
        name = f"\\operatorname{{{name}}}"
    return f"{name} {part.child_text('e')}"


def _limit(part: _Node, sign: str) -> str:
    base, limit = part.child_text("e"), part.child_text("lim")
    if base.isalpha() and len(base) > 1:
        base = f"\\operatorname*{{{base}}}"
    elif base and not base.startswith("\\"):
        over = "underset" if sign == "_" else "overset"
        return f"\\{over}{{{limit}}}{{{base}}}"
    return f"{base}{sign}{{{limit}}}"


def _scripts(part: _Node) -> str:
    base = part.child_text("e")
    if len(base) > 1 and base[-1] == "}" and "^" in base:
        base = f"{{{base}}}"  # or the script would be a second one of the same base
    low, high = (
        f"{sign}{{{part.child_text(name)}}}" if part.children(name) else ""
        for sign, name in (("_", "sub"), ("^", "sup"))
    )
    return f"{base}{low}{high}"


def _before(part: _Node) -> str:
    low, high = part.child_text("sub"), part.child_text("sup")
    scripts = (f"_{{{low}}}" if low else "") + (f"^{{{high}}}" if high else "")
    return f"{{}}{scripts}{part.child_text('e')}"


def _phantom(part: _Node) -> str:
    if part.property_value("show", "1") in OFF:
        return f"\\phantom{{{part.child_text('e')}}}"
    return part.child_text("e")


_RENDERERS: dict[str, Callable[[_Node], str]] = {
    "acc": _accented,
    "bar": _bar,
    "borderBox": lambda part: f"\\boxed{{{part.child_text('e')}}}",
    "box": lambda part: part.child_text("e"),
    "d": _delimited,
    "eqArr": _lines,
    "f": _fraction,
    "func": _function,
    "groupChr": _braced,
    "limLow": lambda part: _limit(part, "_"),
    "limUpp": lambda part: _limit(part, "^"),
    "m": _matrix,
    "nary": _nary,
    "phant": _phantom,
    "rad": _root,
    "sPre": _before,
    "sSub": _scripts,
    "sSubSup": _scripts,
    "sSup": _scripts,
}
