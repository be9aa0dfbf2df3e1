"""Equations of Office as LaTeX, and their places in the text."""

from pathlib import Path

import pytest
from lxml import etree

from ilios.engines.converters.docx.equations import latex
from tests.word_documents import (
    MATH,
    converted,
    docx,
    level,
    markdown_of,
    numbering,
    p,
    table,
    tc,
    tr,
)


def r(text: str, settings: str = "") -> str:
    return f"<m:r><m:rPr>{settings}</m:rPr><m:t>{text}</m:t></m:r>"


def e(inner: str, name: str = "e") -> str:
    return f"<m:{name}>{inner}</m:{name}>"


def part(name: str, inner: str, **settings: str) -> str:
    shown = "".join(f'<m:{one} m:val="{value}"/>' for one, value in settings.items())
    return f"<m:{name}><m:{name}Pr>{shown}</m:{name}Pr>{inner}</m:{name}>"


def math(inner: str) -> str:
    return f"<m:oMath>{inner}</m:oMath>"


X, Y = e(r("x")), e(r("y"))


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        (e(e(r("a"), "num") + e(r("2"), "den"), "f"), r"\frac{a}{2}"),
        (part("f", e(r("n"), "num") + e(r("k"), "den"), type="noBar"), r"\binom{n}{k}"),
        (part("f", e(r("n"), "num") + e(r("k"), "den"), type="lin"), "{n}/{k}"),
        (e(X + e(r("n"), "sup"), "sSup"), "x^{n}"),
        (e(e(e(X + e(r("2"), "sup"), "sSup")) + e(r("3"), "sup"), "sSup"), "{x^{2}}^{3}"),
        (e(X + e(r("i"), "sub") + e(r("2"), "sup"), "sSubSup"), "x_{i}^{2}"),
        (e(e(r("1"), "sub") + e(r("4"), "sup") + X, "sPre"), "{}_{1}^{4}x"),
        (part("rad", e("", "deg") + e(r("π")), degHide="1"), r"\sqrt{\pi}"),
        (e(e(r("3"), "deg") + X, "rad"), r"\sqrt[3]{x}"),
        (part("nary", e(r("0"), "sub") + e(r("1"), "sup") + X), r"\int_{0}^{1} x"),
        (part("nary", e(r("i"), "sub") + e("", "sup") + X, chr="∑", supHide="1"), r"\sum_{i} x"),
        (part("nary", e(r("V"), "sub") + e("", "sup") + X, chr="∯"), r"\oiint_{V} x"),
        (part("acc", X, chr="\u20d7"), r"\vec{x}"),
        (part("acc", X, chr="\u0303"), r"\tilde{x}"),
        (part("acc", X, chr="\u0307"), r"\dot{x}"),
        (part("acc", X), r"\hat{x}"),
        (part("bar", X, pos="top"), r"\overline{x}"),
        (part("bar", X, pos="bot"), r"\underline{x}"),
        (part("borderBox", X), r"\boxed{x}"),
        (part("phant", X, show="0"), r"\phantom{x}"),
        (part("groupChr", X, chr="⏞", pos="top"), r"\overbrace{x}"),
        (part("d", X + Y), r"\left(x, y\right)"),
        (part("d", X, begChr="⌊", endChr="⌋"), r"\left\lfloor x\right\rfloor"),
        (part("eqArr", X + Y), r"\begin{aligned}x \\ y\end{aligned}"),
        (
            part("d", e(part("eqArr", X + Y)), begChr="{", endChr=""),
            r"\begin{cases}x \\ y\end{cases}",
        ),
        (
            part("d", e(part("m", e(X + Y, "mr") + e(Y + X, "mr"))), begChr="[", endChr="]"),
            r"\begin{bmatrix}x & y \\ y & x\end{bmatrix}",
        ),
        (e(e(r("sin"), "fName") + X, "func"), r"\sin x"),
        (e(e(r("sgn"), "fName") + X, "func"), r"\operatorname{sgn} x"),
        (e(e(r("lim")) + e(r("n→∞"), "lim"), "limLow"), r"\lim_{n\to \infty}"),
        (r("R", '<m:scr m:val="double-struck"/>'), r"\mathbb{R}"),
        (r("v", '<m:sty m:val="b"/>'), r"\mathbf{v}"),
        (r("if so", "<m:nor/>"), r"\text{if so}"),
        (r("\U0001d44e≤\U0001d6fd"), r"a\leq \beta"),
        (r("50%"), r"50\%"),
    ],
)
def test_equations_become_latex(inner: str, text: str) -> None:
    tree = etree.fromstring(f'<m:oMath xmlns:m="{MATH}">{inner}</m:oMath>')
    assert latex(tree) == text.strip()


def test_an_equation_nested_deeply_has_its_text() -> None:
    depth = 200
    inner = "<m:e>" * depth + r("x") + "</m:e>" * depth
    assert latex(etree.fromstring(f'<m:oMath xmlns:m="{MATH}">{inner}</m:oMath>')) == "x"


def test_equations_beside_each_other_are_apart(tmp_path: Path) -> None:
    one, two = math(r("p=q")), math(r("r=s"))
    text = markdown_of(tmp_path, p(one, two), p("If ", one, two, " holds"), p(one, " ", two))
    assert text.split("\n\n") == ["$p=q$ $r=s$", "If $p=q$ $r=s$ holds", "$p=q$ $r=s$"]


def test_equations_of_their_own_are_blocks(tmp_path: Path) -> None:
    own = f"<m:oMathPara>{math(r('p=q'))}{math(r('r=s'))}</m:oMathPara>"
    text = markdown_of(
        tmp_path,
        p(own),
        p("Then ", own, "follows"),
        p("item", own, number=(1, 0)),
        table(tr(tc(p(own)), "x")),
        numbers=numbering({1: level(0)}),
    )
    assert text.split("\n\n") == [
        "$$p=q$$",
        "$$r=s$$",
        "Then",
        "$$p=q$$",
        "$$r=s$$",
        "follows",
        "1. item",
        "$$p=q$$",
        "$$r=s$$",
        "| $p=q$<br>$r=s$ | x |\n| --- | --- |",
    ]


def test_an_equation_in_a_heading_is_part_of_it(tmp_path: Path) -> None:
    page = converted(tmp_path, docx(p("On ", math(r("π")), style="heading1"))).result
    assert page.markdown == r"# On $\pi$"
    assert [one.text for one in page.headings] == [r"On $\pi$"]
