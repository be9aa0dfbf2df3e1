"""Plain text is shown as it is, Markdown is passed through."""

from pathlib import Path

import pytest

from actors.content_types import MARKDOWN, TXT
from actors.engines import Unconvertible
from ilios.engines.converters import registry, text_files
from ilios.engines.local.limits import EngineLimits
from tests.ilios.engines.converters.markup import markdown_of, pages_of


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("One\ntwo\n\n\n\nthree\n", "One\ntwo\n\nthree"),
        ("# no heading\n\n#hash", "\\# no heading\n\n#hash"),
        ("- a\n- b\n1. c\n> d", "- a\n- b\n1. c\n> d"),
        ("*a* _b_ `c` <d> [e](f) &lt; g_h", "\\*a\\* \\_b\\_ \\`c\\` \\<d> \\[e](f) \\&lt; g_h"),
        ("a\n\n---\n\nb", "a\n\n\\---\n\nb"),
        ("a\n===\n\n-- \nb", "a\n\\===\n\n\\--\nb"),
        ("1. a\n2. b\n4. c\n5. d", "1. a\n2. b\n4\\. c\n5\\. d"),
        ("1. a\n\n1986. b\n\nc\n\n7. d", "1. a\n\n1986\\. b\n\nc\n\n7. d"),
        ("x    y\n1    2\n\nend", "```\nx    y\n1    2\n```\n\nend"),
        ("    def f():\n        pass", "```\n    def f():\n        pass\n```"),
        ("    Indented once,\nthen not.", "Indented once,\nthen not."),
        ("a\r\nb\rc\0d\x1a", "a\nb\ncd"),
        ("def f(x):\n    return x", "```\ndef f(x):\n    return x\n```"),
        (
            "if (x) {\n\tx();\n\n\treturn;\n}\n\nend",
            "```\nif (x) {\n\tx();\n\n\treturn;\n}\n```\n\nend",
        ),
        ("a:\n  b: 1\n\n  c: 2\n", "```\na:\n  b: 1\n\n  c: 2\n```"),
        ("Error: no\n  at f (a.js:1)\n\nText", "```\nError: no\n  at f (a.js:1)\n```\n\nText"),
        (
            "Prose that hangs\n  below its line,\nand goes on.",
            "Prose that hangs\n  below its line,\nand goes on.",
        ),
        ("Points:\n  - one\n  - two", "Points:\n  - one\n  - two"),
    ],
)
def test_plain_text_is_shown_as_it_is(text: str, markdown: str, tmp_path: Path) -> None:
    assert markdown_of(tmp_path / "a", TXT, text) == markdown


def test_form_feeds_divide_pages(tmp_path: Path) -> None:
    pages = pages_of(tmp_path / "a", TXT, "The first page\fThe second page\f\n")
    assert [page.result.markdown for page in pages] == ["The first page", "The second page"]
    assert registry.count_pages(tmp_path / "a", TXT) == 2
    assert len(pages_of(tmp_path / "a", TXT, "\f" * 1000 + "text")) == 1


@pytest.mark.parametrize(
    ("text", "encoding", "guessed"),
    [
        ("Grüße, 世界", "utf-8", False),
        ("Grüße", "utf-8-sig", False),
        ("Grüße", "utf-16", False),
        ("Grüße", "utf-32", False),
        ("Grüße", "utf-16-le", False),
        ("Grüße", "utf-16-be", False),
        ("Grüße über Größe", "cp1252", True),
        ("Съешь ещё этих мягких булок", "cp1251", True),
        ("これは日本語のテキストです", "cp932", True),
        ("这是一个中文文本文件", "gb2312", True),
    ],
)
def test_the_encoding_is_found_or_guessed_with_a_warning(
    text: str, encoding: str, *, guessed: bool, tmp_path: Path
) -> None:
    (page,) = pages_of(tmp_path / "a", TXT, text.encode(encoding))
    assert page.result.markdown == text
    codes = [warning.code for warning in page.result.warnings]
    assert codes == (["encoding_guessed"] if guessed else [])


def test_markdown_is_passed_through(tmp_path: Path) -> None:
    text = "---\ntitle: x\n---\n\n# A  \nline  \nnext\n\n\n\n<b>raw</b>\n\n```py\n  x\n```"
    assert markdown_of(tmp_path / "a", MARKDOWN, f"\ufeff{text}\n".replace("\n", "\r\n")) == text


def test_unsafe_links_of_markdown_are_left_out_with_a_warning(tmp_path: Path) -> None:
    (page,) = pages_of(tmp_path / "a", MARKDOWN, "[a](javascript:x) <img src='data:x'>  \nb")
    assert page.result.markdown == '[a]() <img src="">  \nb'
    (warning,) = page.result.warnings
    assert warning.code == "links_left_out"
    assert ": 2" in warning.message


def test_a_text_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x" * 101)
    with pytest.raises(Unconvertible) as caught:
        text_files.convert(tmp_path / "a", EngineLimits(max_output_bytes=100), lambda _a, _b: None)
    assert caught.value.code == "too_large"
