"""Plain text of Markdown: the words without the marks, and what the marks mean."""

import re

import pytest
from hypothesis import given, settings

from ilios.formats.declaration import Page
from ilios.formats.fragments import fragments
from ilios.formats.plain_text import PlainText
from tests.ilios.formats.test_html import LINES, Reader, html


def plain(markdown: str) -> str:
    text = PlainText()
    for fragment in fragments(Page(1, markdown)):
        text.add(fragment)
    text.close()
    return text.take()


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("# A *b*\n\nc **d**  \ne", "A b\n\nc d\ne"),
        ("[a](https://x.example) ![b](https://y.example)", "a b"),
        (
            "10<sup>6</sup>, H<sub>2</sub>O, 4<sup>th</sup>, x<sub>i j</sub>",
            "10⁶, H₂O, 4^(th), x_(i j)",
        ),
        ("A[^1]\n\n[^1]: Note", "A[1]\n\n[1] Note"),
        ("$a_1$ and `b*c*`", "$a_1$ and b*c*"),
        ("- a\n- b\n  1. c\n  2. d\n\nend", "- a\n- b\n  1. c\n  2. d\n\nend"),
        ("1. a\n\n   more\n\n2. b", "1. a\n  more\n2. b"),
        ("1. a\n2. b\n5. c\n6. d", "1. a\n2. b\n5. c\n6. d"),
        ("2. a\n<!-- -->\n1. b\n   1. c\n   4. d", "2. a\n1. b\n  1. c\n  4. d"),
        ("a\n\n```py\nif x:\n\n    y\n```\n\nb", "a\n\nif x:\n\n    y\n\nb"),
        ("> quoted\n\n---\n\nafter", "quoted\n\nafter"),
        ("a <name> &amp; &lt;c>", "a <name> & <c>"),
        ("one<br>two", "one\ntwo"),
        ("a\fb", "a b"),
        ("", ""),
    ],
)
def test_marks_are_gone_and_meaning_stays(markdown: str, expected: str) -> None:
    assert plain(markdown) == expected


def test_cells_are_separated_by_tabs() -> None:
    rows = "| 1<br>2 | **x** |\n| | [y](https://z.example) |\n| <&amp; | R&D\u2028\u00a0x |\n"
    table = f"Before\n\n| a | b |\n|---|--:|\n{rows}\nAfter"
    assert plain(table) == "Before\n\na\tb\n1 2\tx\n\ty\n<&\tR&D x\n\nAfter"


def test_a_spanning_cell_keeps_the_columns_of_the_others() -> None:
    table = (
        "<table><tr><td colspan=3>wide</td><td>b</td></tr><tr><td>1</td><td>2</td>"
        "<td><table><tr><td>in</td><td>side</td></tr></table></td><td>4</td></tr></table>"
    )
    assert plain(table) == "wide\t\t\tb\n1\t2\tin side\t4"


@settings(max_examples=200, deadline=None)
@given(LINES)
def test_text_has_the_words_of_the_html_in_their_order(lines: list[str]) -> None:
    markdown = "\n".join(line.replace("{0}", str(1000 + n)) for n, line in enumerate(lines))
    assert _without_marks(plain(markdown)) == _without_marks(Reader(html(markdown)).text)


def _without_marks(text: str) -> str:
    """Return a text without the marks of lists and notes, and without white space."""
    return re.sub(r"(?<!\w)\d{1,2}\. |[-.\[\]^()_\s]", "", text)
