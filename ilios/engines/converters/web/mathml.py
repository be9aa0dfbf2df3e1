"""MathML (presentation markup) as LaTeX."""

from collections.abc import Callable, Sequence
from typing import Any

_MAX_DEPTH = 60
_TEX = ("application/x-tex", "text/x-latex", "latex", "tex")

_SIGNS = {
    "\u2211": r"\sum", "\u220f": r"\prod", "\u222b": r"\int", "\u222c": r"\iint",
    "\u222e": r"\oint", "\u03b1": r"\alpha", "\u03b2": r"\beta", "\u03b3": r"\gamma",
    "\u03b4": r"\delta", "\u03b5": r"\epsilon", "\u03b8": r"\theta", "\u03bb": r"\lambda",
    "\u03bc": r"\mu", "\u03c0": r"\pi", "\u03c1": r"\rho", "\u03c3": r"\sigma", "\u03c4": r"\tau",
    "\u03c6": r"\phi", "\u03c9": r"\omega", "\u0393": r"\Gamma", "\u0394": r"\Delta",
    "\u03a3": r"\Sigma", "\u03a9": r"\Omega", "\u221e": r"\infty", "\u00d7": r"\times",
    "\u22c5": r"\cdot", "\u2264": r"\leq", "\u2265": r"\geq", "\u2260": r"\neq", "\u00b1": r"\pm",
    "\u2208": r"\in", "\u2229": r"\cap", "\u222a": r"\cup", "\u2192": r"\to", "\u2202": r"\partial",
    "\u2248": r"\approx", "\u2026": r"\ldots", "\u2200": r"\forall", "\u2203": r"\exists",
    "\u2212": "-", "\u21d2": r"\Rightarrow", "\u2207": r"\nabla", "\u2032": "'",
    "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "_": r"\_",
}  # fmt: skip
_INVISIBLE = dict.fromkeys(map(ord, "\u2061\u2062\u2063\u2064\u200b"))
_FUNCTIONS = frozenset({
    "sin", "cos", "tan", "cot", "log", "ln", "exp", "lim", "max", "min", "sup", "inf", "det",
    "gcd",
})  # fmt: skip
_ACCENTS = {"^": "hat", "\u00af": "overline", "\u203e": "overline", "\u2192": "vec", "~": "tilde",
            "\u02d9": "dot", "\u0302": "hat", "\u23de": "overbrace"}  # fmt: skip
_TEXTS: dict[str, Callable[[str], str]] = {
    "mtext": lambda text: rf"\text{{{text}}}" if text.strip() else text,
    "ms": lambda text: rf"\text{{\textquotedbl {text}\textquotedbl}}",
}


def latex(math: Any) -> str:
    """Return the LaTeX of a ``math`` element: that of its annotation, or made of its parts."""
    for node in math.iter():
        if _name(node) == "annotation" and (node.get("encoding") or "").lower() in _TEX:
            return _tidy("".join(node.itertext()))
    return _tidy(_children(math, 0)) or _tidy(math.get("alttext") or "")


def is_display(math: Any) -> bool:
    """Whether an equation stands on a line of its own."""
    return bool(math.get("display") == "block" or math.get("mode") == "display")


def _tidy(text: str) -> str:
    text = " ".join(text.split()).replace("$$", "")
    return text.strip("$ ")


def _name(node: Any) -> str:
    return node.tag.rpartition("}")[2].lower() if isinstance(node.tag, str) else ""


def _elements(node: Any) -> list[Any]:
    return [child for child in node if isinstance(child.tag, str)]


def _children(node: Any, depth: int) -> str:
    return " ".join(filter(None, (_node(child, depth + 1) for child in _elements(node))))


def _node(node: Any, depth: int) -> str:
    name = _name(node)
    if name in ("annotation", "annotation-xml", "mphantom", "none", "mprescripts", "mspace"):
        return " " if name == "mspace" else ""
    if depth > _MAX_DEPTH or name in ("mi", "mn", "mo", "mtext", "ms"):
        return _token(name, "".join(node.itertext()))
    parts = [_node(child, depth + 1) for child in _elements(node)]
    if name in _SHAPES and len(parts) >= _SHAPES[name][0]:
        return _SHAPES[name][1](parts)
    if name == "mfenced":
        opening, closing = node.get("open", "("), node.get("close", ")")
        return rf"\left{_fence(opening)} {', '.join(parts)} \right{_fence(closing)}"
    if name in _ROWS:
        opening, between, closing = _ROWS[name]
        return f"{opening}{between.join(parts)}{closing}"
    return " ".join(filter(None, parts)) or _token(name, (node.text or "").strip())


def _fence(sign: str) -> str:
    return {"": ".", "{": r"\{", "}": r"\}"}.get(sign, sign)


def _token(name: str, text: str) -> str:
    text = text.translate(_INVISIBLE)
    if name in _TEXTS:
        return _TEXTS[name](text.replace("{", r"\{").replace("}", r"\}"))
    text = text.strip()
    if text in _FUNCTIONS:
        return f"\\{text}"
    written = "".join(f"{_SIGNS[c]} " if c in _SIGNS else c for c in text).strip()
    if name == "mi" and len(text) > 1 and text.isalpha():
        return rf"\mathrm{{{written}}}"
    return written


def _over(parts: Sequence[str]) -> str:
    if accent := _ACCENTS.get(parts[1]) or {r"\to": "vec"}.get(parts[1]):
        return rf"\{accent}{{{parts[0]}}}"
    if parts[0] in _LARGE:
        return f"{parts[0]}^{{{parts[1]}}}"
    return rf"\overset{{{parts[1]}}}{{{parts[0]}}}"


def _under(parts: Sequence[str]) -> str:
    if parts[0] in _LARGE:
        return f"{parts[0]}_{{{parts[1]}}}"
    return rf"\underset{{{parts[1]}}}{{{parts[0]}}}"


_ROWS = {
    "msqrt": (r"\sqrt{", " ", "}"),
    "mtable": (r"\begin{matrix} ", r" \\ ", r" \end{matrix}"),
    "mtr": ("", " & ", ""),
    "mlabeledtr": ("", " & ", ""),
}
"""Elements with any number of children: what stands before, between and behind them."""

_LARGE = frozenset({r"\sum", r"\prod", r"\int", r"\lim", r"\max", r"\min", r"\sup", r"\inf"})


def _base(text: str) -> str:
    return text if len(text) <= 1 or text in _LARGE else f"{{{text}}}"


_SHAPES: dict[str, tuple[int, Callable[[Sequence[str]], str]]] = {
    "mfrac": (2, lambda p: rf"\frac{{{p[0]}}}{{{p[1]}}}"),
    "mroot": (2, lambda p: rf"\sqrt[{p[1]}]{{{p[0]}}}"),
    "msup": (2, lambda p: f"{_base(p[0])}^{{{p[1]}}}"),
    "msub": (2, lambda p: f"{_base(p[0])}_{{{p[1]}}}"),
    "msubsup": (3, lambda p: f"{_base(p[0])}_{{{p[1]}}}^{{{p[2]}}}"),
    "munderover": (3, lambda p: f"{_base(p[0])}_{{{p[1]}}}^{{{p[2]}}}"),
    "mover": (2, _over),
    "munder": (2, _under),
}
"""Elements whose children have places: how many there must be, and what becomes of them."""
