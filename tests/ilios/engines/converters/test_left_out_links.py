"""A link whose address may not be followed is text, and the result counts it."""

from pathlib import Path

import pytest

from actors.content_types import EML, HTML, LATEX, RTF
from tests.ilios.engines.converters.markup import pages_of

PAGE = "<p><a href='javascript:x'>one</a> <a href='http://x'>two</a> <a href='#x'>three</a></p>"


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (HTML, f"<!DOCTYPE html><html>{PAGE}"),
        (EML, f"From: a@b.c\nSubject: s\nContent-Type: text/html\n\n{PAGE}"),
        (LATEX, r"\documentclass{article}\begin{document}\href{javascript:x}{one}\end{document}"),
        (RTF, r'{\rtf1 {\field{\*\fldinst HYPERLINK "javascript:x"}{\fldrslt one}}}'),
    ],
)
def test_a_link_that_is_left_out_is_counted(kind: str, document: str, tmp_path: Path) -> None:
    (page,) = pages_of(tmp_path / "a", kind, document)
    assert "one" in page.result.markdown
    assert "javascript" not in page.result.markdown
    (warning,) = page.result.warnings
    assert warning.code == "links_left_out"
    assert warning.message.endswith(" 1.")
