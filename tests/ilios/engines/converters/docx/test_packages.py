"""Packages: any legal layout of parts, and broken parts that cost themselves only."""

from pathlib import Path

import pytest

from actors.engines import Unconvertible
from tests import documents
from tests.hostile_offices import parts_of
from tests.word_documents import NAMESPACES, converted, docx, level, numbering, p, style

STRICT = "http://purl.oclc.org/ooxml/"
TRANSITIONAL = {
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main": "wordprocessingml/main",
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships": (
        "officeDocument/relationships"
    ),
}
BODY = (p("Minutes", style="heading1"), p("Open", number=(1, 0)), p("Close", number=(1, 0)))
NUMBERS = numbering({1: level(0, "lowerLetter", "%1)")})
SHOWN = "# Minutes\n\n- a) Open\n- b) Close"


@pytest.mark.parametrize(
    "main", ["word/document2.xml", "Word/Main.xml", "parts/deep/body.xml", "d.xml"]
)
def test_the_main_part_may_have_any_name(tmp_path: Path, main: str) -> None:
    made = docx(*BODY, numbers=NUMBERS, main=main)
    assert converted(tmp_path, made).result.markdown == SHOWN


def test_relationships_left_behind_by_a_renamed_main_part_are_used(tmp_path: Path) -> None:
    parts = parts_of(docx(*BODY, numbers=NUMBERS, main="word/document7.xml"))
    parts["word/_rels/document.xml.rels"] = parts.pop("word/_rels/document7.xml.rels")
    assert converted(tmp_path, documents.zip_of(parts)).result.markdown == SHOWN


def test_strict_documents_are_read_as_transitional_ones(tmp_path: Path) -> None:
    parts = parts_of(docx(*BODY, numbers=NUMBERS))
    for name, content in parts.items():
        assert isinstance(content, bytes)
        text = content.decode()
        for space, strict in TRANSITIONAL.items():
            text = text.replace(space, f"{STRICT}{strict}")
        parts[name] = text
    assert converted(tmp_path, documents.zip_of(parts)).result.markdown == SHOWN


def test_without_package_relationships_the_usual_name_is_tried(tmp_path: Path) -> None:
    parts = parts_of(docx(*BODY, numbers=NUMBERS))
    del parts["_rels/.rels"]
    assert converted(tmp_path, documents.zip_of(parts)).result.markdown == SHOWN


@pytest.mark.parametrize(
    ("broken", "shown"),
    [
        ("styles", "Minutes\n\n- a) Open\n- b) Close"),
        ("numbering", "# Minutes\n\nOpen\n\nClose"),
        ("settings", SHOWN),
        ("header", SHOWN),
    ],
)
def test_a_broken_part_costs_itself_and_a_warning(tmp_path: Path, broken: str, shown: str) -> None:
    section = '<w:sectPr><w:headerReference w:type="default" r:id="h"/></w:sectPr>'
    whole = f"<w:settings {NAMESPACES}/>"
    header = f"<w:hdr {NAMESPACES}>{p('Head')}</w:hdr>"
    parts: dict[str, str | bytes] = {"word/settings.xml": whole, "word/header.xml": header}
    made = docx(
        *BODY,
        section,
        numbers=NUMBERS,
        parts=parts | {f"word/{broken}.xml": "<w:broken"},
        related={"s": ("settings", "settings.xml"), "h": ("header", "header.xml")},
    )
    page = converted(tmp_path, made).result
    assert page.markdown == shown
    (warning,) = page.warnings
    assert warning.code == "part_unreadable"
    assert f"word/{broken}.xml" in warning.message


@pytest.mark.parametrize(
    "body", ["", "<w:document", f"<w:document {NAMESPACES}/>", f"<w:other {NAMESPACES}/>"]
)
def test_a_document_whose_text_is_missing_is_damaged(tmp_path: Path, body: str) -> None:
    with pytest.raises(Unconvertible) as caught:
        converted(tmp_path, docx(parts={"word/document.xml": body}))
    assert caught.value.code == "corrupt"


def test_styles_and_lists_that_lead_in_circles_end(tmp_path: Path) -> None:
    styles = style("A", '<w:basedOn w:val="B"/>') + style("B", '<w:basedOn w:val="A"/>')
    styles += style("N", '<w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr>', "numbering")
    numbers = numbering({1: '<w:numStyleLink w:val="N"/>'})
    made = docx(p("x", style="A", number=(1, 0)), styles=styles, numbers=numbers)
    assert converted(tmp_path, made).result.markdown == "x"
