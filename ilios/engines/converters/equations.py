"""LaTeX from the equations of Office documents (OMML)."""

from collections.abc import Callable
from xml.etree.ElementTree import Element

MATH = "http://schemas.openxmlformats.org/officeDocument/2006/math"
MAX_DEPTH = 60
"""Deeper nesting is dropped, to stay below Python's recursion limit."""

SYMBOLS = {
    "\u2211": r"\sum", "\u220f": r"\prod", "\u222b": r"\int", "\u222c": r"\iint",
    "\u222d": r"\iiint", "\u222e": r"\oint", "\u22c3": r"\bigcup", "\u22c2": r"\bigcap",
    "\u22c0": r"\bigwedge", "\u22c1": r"\bigvee",
}  # fmt: skip
"""Operators with limits."""

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
    return " ".join(_MathNode(node, 0).text().split())


class _MathNode:
    """A part of an equation and its depth."""

    def __init__(self, node: Element, depth: int) -> None:
        self._node = node
        self._depth = depth

    def text(self) -> str:
        name = self._node.tag.rpartition("}")[2]
        if self._depth > MAX_DEPTH or name.endswith("Pr"):
            return ""
        if name == "r":
            return _run("".join(text.text or "" for text in self._node.iter(f"{{{MATH}}}t")))
        if name in _RENDERERS:
            return _RENDERERS[name](self)
        return "".join(_MathNode(child, self._depth + 1).text() for child in self._node)

    def children(self, name: str) -> "list[_MathNode]":
        return [_MathNode(n, self._depth + 1) for n in self._node.findall(f"{{{MATH}}}{name}")]

    def child_text(self, name: str) -> str:
        return "".join(part.text() for part in self.children(name)[:1]).strip()

    def property_value(self, name: str, default: str) -> str:
        """Return the value of a property of the part, which may be empty."""
        found = self._node.find(f"*/{{{MATH}}}{name}")
        return default if found is None else found.get(f"{{{MATH}}}val", "")


def _run(text: str) -> str:
    if text.strip() in FUNCTIONS:
        return f"\\{text.strip()} "
    return "".join(f"{LETTERS[c]} " if c in LETTERS else c for c in text)


def _nary(part: _MathNode) -> str:
    sign = part.property_value("chr", "\u222b")
    low, high = part.child_text("sub"), part.child_text("sup")
    limits = (f"_{{{low}}}" if low else "") + (f"^{{{high}}}" if high else "")
    return f"{SYMBOLS.get(sign, sign)}{limits} {part.child_text('e')}"


def _delimited(part: _MathNode) -> str:
    begin, end = (
        {"": ".", "{": "\\{", "}": "\\}"}.get(sign, sign)
        for sign in (part.property_value("begChr", "("), part.property_value("endChr", ")"))
    )
    inner = ", ".join(piece.text().strip() for piece in part.children("e"))
    return f"\\left{begin}{inner}\\right{end}"


def _root(part: _MathNode) -> str:
    degree = part.child_text("deg")
    return (
        f"\\sqrt[{degree}]{{{part.child_text('e')}}}"
        if degree
        else f"\\sqrt{{{part.child_text('e')}}}"
    )


def _fraction(part: _MathNode) -> str:
    over = "binom" if part.property_value("type", "bar") == "noBar" else "frac"
    return f"\\{over}{{{part.child_text('num')}}}{{{part.child_text('den')}}}"


def _matrix(part: _MathNode) -> str:
    rows = (
        " & ".join(cell.text().strip() for cell in row.children("e")) for row in part.children("mr")
    )
    inner = " \\\\ ".join(rows)
    return f"\\begin{{matrix}}{inner}\\end{{matrix}}"


def _braced(part: _MathNode) -> str:
    brace = "overbrace" if part.property_value("pos", "bot") == "top" else "underbrace"
    return f"\\{brace}{{{part.child_text('e')}}}"


_RENDERERS: dict[str, Callable[[_MathNode], str]] = {
    "acc": lambda part: f"\\hat{{{part.child_text('e')}}}",
    "bar": lambda part: f"\\overline{{{part.child_text('e')}}}",
    "d": _delimited,
    "f": _fraction,
    "func": lambda part: f"{part.child_text('fName')} {part.child_text('e')}",
    "groupChr": _braced,
    "limLow": lambda part: f"{part.child_text('e')}_{{{part.child_text('lim')}}}",
    "limUpp": lambda part: f"{part.child_text('e')}^{{{part.child_text('lim')}}}",
    "m": _matrix,
    "nary": _nary,
    "rad": _root,
    "sSub": lambda part: f"{part.child_text('e')}_{{{part.child_text('sub')}}}",
    "sSubSup": lambda part: (
        f"{part.child_text('e')}_{{{part.child_text('sub')}}}^{{{part.child_text('sup')}}}"
    ),
    "sSup": lambda part: f"{part.child_text('e')}^{{{part.child_text('sup')}}}",
}
