"""Runs of one style as Markdown."""

from time import process_time

import pytest

from ilios.engines.converters import blocks
from ilios.engines.converters.inline import Run, escape, escape_line_starts, render, safe_link
from ilios.engines.converters.markdown import clean


def test_neighbours_of_one_style_are_one_and_blanks_stand_outside_of_marks() -> None:
    runs = [Run("a "), Run("bo", bold=True), Run("ld ", bold=True), Run("x", superscript=True)]
    assert render(runs) == "a **bold** <sup>x</sup>"


def test_a_link_goes_around_its_styles() -> None:
    runs = [
        Run("see ", link="https://a.example/(1)"),
        Run("it", italic=True, link="https://a.example/(1)"),
    ]
    assert render(runs) == "[see *it*](https://a.example/%281%29)"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JAVA\tSCRIPT:x",
        "data:text/html,x",
        "file:///etc/passwd",
        "vbscript:x",
    ],
)
def test_what_is_no_address_of_a_page_is_no_link(url: str) -> None:
    assert safe_link(url) == ""
    assert render([Run("text", link=url)]) == "text"


def test_text_is_escaped_where_it_would_be_read_as_markdown() -> None:
    assert escape("2*3 snake_case _x_ <b> a < b [1] [a](b)") == (
        r"2\*3 snake_case \_x\_ \<b> a < b [1] \[a](b)"
    )
    assert escape_line_starts("# a\n1. b\n- c\n3.5 d") == "\\# a\n1\\. b\n\\- c\n3.5 d"


def test_code_with_backticks_has_longer_marks() -> None:
    assert render([Run("a`b", code=True)]) == "``a`b``"


def test_emphasis_ends_before_a_sign_that_would_keep_it_open() -> None:
    runs = [Run("Note:", bold=True), Run("see"), Run("(here)", italic=True), Run("now")]
    assert render(runs) == "**Note**:see(*here*)now"
    assert render([Run("Note:", bold=True), Run(" see")]) == "**Note:** see"
    assert render([Run("!", bold=True), Run("a")]) == "!a"


def test_brackets_are_escaped_where_they_would_be_a_link() -> None:
    assert escape("[a] [b](c) [[d](e)") == r"[a] \[b](c) \[\[d](e)"
    assert escape("[a]\n(b) [c\n](d)") == "[a]\n(b) [c\n](d)"
    assert escape("[" * 200_000) == "[" * 200_000  # at once


def test_thousands_of_empty_lines_and_blanks_take_no_time() -> None:
    before = process_time()
    lines = "a" + "  \n" * 20_000 + "b"
    assert escape_line_starts(lines) == lines
    assert blocks.paragraph_text((Run(lines),)).endswith("b")
    blanks = "a" + " " * 100_000 + "b"
    assert clean(blanks) == clean(blanks, hard_breaks=True) == blanks
    assert clean(lines, hard_breaks=True) == clean(lines) == "a\n\nb"
    assert process_time() - before < 3
