"""Equations of Office documents as LaTeX."""

from collections.abc import Callable
from xml.etree.ElementTree import Element

MATH = "http://schemas.openxmlformats.org/officeDocument/2006/math"
MAX_DEPTH = 60
"""Deeper nesting is cut off: the recursion must end before Python's."""

SYMBOLS = {
    "\u2211": r"\sum", "\u220f": r"\prod", "\u222b": r"\int", "\u222c": r"\iint",
    "\u222d": r"\iiint", "\u222e": r"\oint", "\u22c3": r"\bigcup", "\u22c2": r"\bigcap",
    "\u22c0": r"\bigwedge", "\u22c1": r"\bigvee",
}  # fmt: skip
"""Operators that carry limits."""

LETTERS = {  # the escapes are letters that look like Latin ones
    "\u03b1": r"\alpha", "β": r"\beta", "\u03b3": r"\gamma", "δ": r"\delta", "ε": r"\epsilon",
    "ϵ": r"\epsilon", "θ": r"\theta", "λ": r"\lambda", "μ": r"\mu", "π": r"\pi",
    "\u03c1": r"\rho", "\u03c3": r"\sigma", "τ": r"\tau", "φ": r"\phi", "ω": r"\omega",
    "Γ": r"\Gamma", "Δ": r"\Delta", "Ω": r"\Omega", "∞": r"\infty", "\u00d7": r"\times",
    "⋅": r"\cdot", "≤": r"\leq", "≥": r"\geq", "≠": r"\neq", "±": r"\pm", "∈": r"\in",
    "∩": r"\cap", "\u222a": r"\cup", "→": r"\to", "∂": r"\partial", "≈": r"\approx",
    "…": r"\ldots", "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "#": r"\#",
}  # fmt: skip
FUNCTIONS = {"sin", "cos", "tan", "log", "ln", "exp", "lim", "max", "min", "sup", "inf", "det"}


def latex(node: Element) -> str:
    """Return the LaTeX of an ``m:oMath`` element."""
    return " ".join(_Part(node, 0).text().split())


class _Part:
    """A part of an equation and how deep it lies."""

    def __init__(self, node: Element, depth: int) -> None:
        self._node = node
        self._depth = depth

    def text(self) -> str:
        name = self._node.tag.rpartition("}")[2]
        if self._depth > MAX_DEPTH or name.endswith("Pr"):
            return ""
        if name == "r":
            return _run("".join(text.text or "" for text in self._node.iter(f"{{{MATH}}}t")))
        if name in _WRITERS:
            return _WRITERS[name](self)
        return "".join(_Part(child, self._depth + 1).text() for child in self._node)

    def all(self, name: str) -> "list[_Part]":
        return [_Part(n, self._depth + 1) for n in self._node.findall(f"{{{MATH}}}{name}")]

    def one(self, name: str) -> str:
        return "".join(part.text() for part in self.all(name)[:1]).strip()

    def told(self, name: str, default: str) -> str:
        """Return what a property of the part says, which may be that there is nothing."""
        found = self._node.find(f"*/{{{MATH}}}{name}")
        return default if found is None else found.get(f"{{{MATH}}}val", "")


def _run(text: str) -> str:
    if text.strip() in FUNCTIONS:
        return f"\\{text.strip()} "
    return "".join(f"{LETTERS[c]} " if c in LETTERS else c for c in text)


def _nary(part: _Part) -> str:
    sign = part.told("chr", "\u222b")
    low, high = part.one("sub"), part.one("sup")
    limits = (f"_{{{low}}}" if low else "") + (f"^{{{high}}}" if high else "")
    return f"{SYMBOLS.get(sign, sign)}{limits} {part.one('e')}"


def _delimited(part: _Part) -> str:
    begin, end = (
        {"": ".", "{": "\\{", "}": "\\}"}.get(sign, sign)
        for sign in (part.told("begChr", "("), part.told("endChr", ")"))
    )
    inner = ", ".join(piece.text().strip() for piece in part.all("e"))
    return f"\\left{begin}{inner}\\right{end}"


def _root(part: _Part) -> str:
    degree = part.one("deg")
    return f"\\sqrt[{degree}]{{{part.one('e')}}}" if degree else f"\\sqrt{{{part.one('e')}}}"


def _fraction(part: _Part) -> str:
    over = "binom" if part.told("type", "bar") == "noBar" else "frac"
    return f"\\{over}{{{part.one('num')}}}{{{part.one('den')}}}"


def _matrix(part: _Part) -> str:
    rows = (" & ".join(cell.text().strip() for cell in row.all("e")) for row in part.all("mr"))
    inner = " \\\\ ".join(rows)
    return f"\\begin{{matrix}}{inner}\\end{{matrix}}"


def _braced(part: _Part) -> str:
    brace = "overbrace" if part.told("pos", "bot") == "top" else "underbrace"
    return f"\\{brace}{{{part.one('e')}}}"


_WRITERS: dict[str, Callable[[_Part], str]] = {
    "acc": lambda part: f"\\hat{{{part.one('e')}}}",
    "bar": lambda part: f"\\overline{{{part.one('e')}}}",
    "d": _delimited,
    "f": _fraction,
    "func": lambda part: f"{part.one('fName')} {part.one('e')}",
    "groupChr": _braced,
    "limLow": lambda part: f"{part.one('e')}_{{{part.one('lim')}}}",
    "limUpp": lambda part: f"{part.one('e')}^{{{part.one('lim')}}}",
    "m": _matrix,
    "nary": _nary,
    "rad": _root,
    "sSub": lambda part: f"{part.one('e')}_{{{part.one('sub')}}}",
    "sSubSup": lambda part: f"{part.one('e')}_{{{part.one('sub')}}}^{{{part.one('sup')}}}",
    "sSup": lambda part: f"{part.one('e')}^{{{part.one('sup')}}}",
}
