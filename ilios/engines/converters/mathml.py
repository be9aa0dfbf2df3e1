"""Formulas in MathML as LaTeX."""

from typing import Any

MAX_DEPTH = 60
"""Elements of a formula inside of each other; what is deeper is plain text."""

FUNCTIONS = frozenset(("sin", "cos", "tan", "cot", "ln", "log", "exp", "lim", "max", "min"))
_SPECIAL = {"{": r"\{", "}": r"\}", "\\": r"\backslash ", "$": r"\$", "%": r"\%", "&": r"\&"}
_SPECIAL |= {"#": r"\#", "_": r"\_", "~": r"\sim ", "^": r"\hat{}"}
_ACCENTS = {
    "¯": r"\overline", "‾": r"\overline", "^": r"\hat", "~": r"\tilde", "→": r"\vec",
    "⃗": r"\vec", "˙": r"\dot", "¨": r"\ddot", "_": r"\underline", "⏞": r"\overbrace",
    "⏟": r"\underbrace", "ˇ": r"\check", "˘": r"\breve",
}  # fmt: skip
_TEMPLATES = {
    ("mfrac", 2): r"\frac{{{0}}}{{{1}}}",
    ("mroot", 2): r"\sqrt[{1}]{{{0}}}",
    ("msup", 2): "{base}^{{{1}}}",
    ("msub", 2): "{base}_{{{1}}}",
    ("msubsup", 3): "{base}_{{{1}}}^{{{2}}}",
    ("munderover", 3): "{base}_{{{1}}}^{{{2}}}",
}
_ANNOTATIONS = ("annotation", "annotation-xml")


def latex(element: Any, depth: int = 0) -> str:
    """Return a formula, or a part of it, without the dollar signs around it."""
    if not isinstance(element.tag, str):
        return ""
    name = element.tag.rpartition("}")[2]
    if depth > MAX_DEPTH:
        return _signs(" ".join(element.itertext()))
    if name in ("mi", "mn", "mo", "mtext", "ms"):
        return _token(name, "".join(element.itertext()).strip())
    if name in _ANNOTATIONS:
        return ""
    parts = [latex(one, depth + 1) for one in element if isinstance(one.tag, str)]
    return _structure(name, element, parts)


def _structure(name: str, element: Any, parts: list[str]) -> str:  # noqa: PLR0911  each has one
    template = _TEMPLATES.get((name, len(parts)))
    if template is not None:
        return template.format(*parts, base=_base(parts[0]))
    if name in ("mover", "munder") and len(parts) == 2:
        return _accented(name, element, parts)
    if name == "mfenced":
        opening, closing = element.get("open", "("), element.get("close", ")")
        signs = element.get("separators", ",").replace(" ", "") or " "
        inner = f"{signs[0]} ".join(parts)
        return rf"\left{_fence(opening)}{inner}\right{_fence(closing)}"
    if name in ("mspace", "mphantom", "none", "mprescripts"):
        return ""
    if name in ("mtr", "mlabeledtr"):
        return " & ".join(parts)
    if name == "mtable":
        return rf"\begin{{matrix}}{_rows(parts)}\end{{matrix}}"
    return rf"\sqrt{{{_joined(parts)}}}" if name == "msqrt" else _joined(parts)


def _rows(parts: list[str]) -> str:
    return r" \\ ".join(parts)


def _accented(name: str, element: Any, parts: list[str]) -> str:
    mark = "".join(element[1].itertext()).strip()
    if mark in _ACCENTS:
        return f"{_ACCENTS[mark]}{{{parts[0]}}}"
    sign = "^" if name == "mover" else "_"
    return f"{_base(parts[0])}{sign}{{{parts[1]}}}"


def _token(name: str, text: str) -> str:
    if not text:
        return ""
    if name in ("mtext", "ms"):
        return rf"\text{{{text.translate(str.maketrans('', '', '{}$'))}}}"
    if name == "mi" and len(text) > 1:
        if text in FUNCTIONS:
            return rf"\{text} "
        if text.isascii() and text.isalpha():
            return rf"\mathrm{{{text}}}"
    return _signs(text)


def _signs(text: str) -> str:
    return "".join(_SPECIAL.get(sign, sign) for sign in text)


def _joined(parts: list[str]) -> str:
    return " ".join(part.strip() for part in parts if part.strip())


def _base(text: str) -> str:
    text = text.strip()
    single = len(text) < 2 or (text.startswith("\\") and text[1:].isalpha())
    return text if single else f"{{{text}}}"


def _fence(sign: str) -> str:
    return {"": ".", "{": r"\{", "}": r"\}", "⟨": r"\langle ", "⟩": r"\rangle "}.get(sign, sign)
