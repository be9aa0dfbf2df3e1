"""The files of a book are its pages, in reading order."""

from pathlib import Path
from time import process_time

import pytest

from actors.content_types import EPUB
from actors.engines import Unconvertible
from ilios.engines.converters import registry
from ilios.engines.converters.web.parsing import parse_xhtml
from ilios.engines.pages import Reading
from schemas.options import PageRange
from tests import documents
from tests.hostile_offices import parts_of
from tests.ilios.engines.converters.markup import markdown_of, pages_of
from tests.ilios.engines.converters.web.test_html import picture
from tests.markup_writers import epub_of

OPS = 'xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"'
ONE = f"""<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html PUBLIC "a" "b">
<html {OPS}><head><title/></head><body><h1>One&nbsp;1</h1>
<p>See<a epub:type="noteref" href="notes.xhtml#n1">1</a> and <a id="e"/>rest
<a href="two.xhtml#q">inside</a> <a href="http://e.org/">outside</a></p></body></html>"""
NOTES = f"""<html {OPS}><body><aside epub:type="footnote" id="n1"><p>The note.
<a epub:type="backlink" href="one.xhtml#r">back</a></p></aside></body></html>"""
ENCRYPTED = """<encryption xmlns:e="e"><e:EncryptedData>
<e:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes256-cbc"/>
<e:CipherReference URI="book/{name}"/></e:EncryptedData></encryption>"""


def changed(data: bytes, old: str, new: str) -> bytes:
    """Return a book with another text in its package."""
    parts = parts_of(data)
    package = parts["book/package.opf"]
    assert isinstance(package, bytes)
    parts["book/package.opf"] = package.decode().replace(old, new)
    return documents.zip_of(parts)


def test_files_become_pages_with_their_notes(tmp_path: Path) -> None:
    book = epub_of({"two.xhtml": "<p>Two & broken<br>x", "one.xhtml": ONE, "notes.xhtml": NOTES})
    pages = [page.result.markdown for page in pages_of(tmp_path / "a", EPUB, book)]
    assert pages == [
        "Two & broken  \nx",
        "# One 1\n\nSee[^1] and rest inside [outside](http://e.org/)",
        "[^1]: The note.",
    ]
    assert registry.count_pages(tmp_path / "a", EPUB) == 3


def test_notes_in_a_list_of_another_file_have_their_labels_in_place_of_numbers(
    tmp_path: Path,
) -> None:
    notes = (
        f"<html {OPS}><body><ol><li epub:type='endnote' id='n1'><p>The first.</p><p>More.</p></li>"
        "<li id='x'>No note</li></ol></body></html>"
    )
    one = ONE.replace("notes.xhtml", "end.xhtml")
    book = epub_of({"one.xhtml": one, "end.xhtml": notes})
    first, last = (page.result.markdown for page in pages_of(tmp_path / "a", EPUB, book))
    assert "See[^1] and" in first
    assert last == "2. No note\n\n[^1]: The first.\n\nMore."


def test_selected_pages_are_converted(tmp_path: Path) -> None:
    book = epub_of({f"{name}.xhtml": f"<p>{name}</p>" for name in "abc"})
    selected = Reading(ranges=(PageRange(2, 2),))
    (page,) = pages_of(tmp_path / "a", EPUB, book, selected)
    assert (page.result.index, page.result.markdown) == (1, "b")


def test_the_table_of_contents_is_not_a_page(tmp_path: Path) -> None:
    book = epub_of({"toc.xhtml": "<nav>One</nav>", "a.xhtml": "<p>a</p>"})
    book = changed(book, 'href="toc.xhtml"', 'href="toc.xhtml" properties="nav"')
    assert [page.result.markdown for page in pages_of(tmp_path / "a", EPUB, book)] == ["a"]


def test_the_cover_is_on_the_first_page_once(tmp_path: Path) -> None:
    for body, markdown in (
        ("<p>a</p>", "![](img-0.png)\n\na"),
        ('<p><img src="cover.png" alt="C"/>a</p>', "![C](img-0.png)a"),
    ):
        book = epub_of({"a.xhtml": body, "b.xhtml": "<p>b</p>"}, cover_png=picture())
        book = changed(book, 'href="cover.png"', 'href="cover.png" properties="cover-image"')
        pages = pages_of(tmp_path / "a", EPUB, book)
        assert [page.result.markdown for page in pages] == [markdown, "b"]
        assert pages[0].image_bytes == {"img-0.png": picture()}


def test_a_missing_file_costs_itself_and_a_warning(tmp_path: Path) -> None:
    parts = parts_of(epub_of({"a.xhtml": "<p>a</p>", "b.xhtml": "<p>b</p>"}))
    del parts["book/a.xhtml"]
    pages = pages_of(tmp_path / "a", EPUB, documents.zip_of(parts))
    assert [page.result.markdown for page in pages] == ["", "b"]
    (warning,) = pages[0].result.warnings
    assert (warning.code, "book/a.xhtml" in warning.message) == ("part_unreadable", True)


def test_encrypted_pages_are_refused_and_encrypted_fonts_are_not(tmp_path: Path) -> None:
    parts = parts_of(epub_of({"a.xhtml": "<p>a</p>"}))
    parts["META-INF/encryption.xml"] = ENCRYPTED.format(name="a.xhtml")
    with pytest.raises(Unconvertible, match="DRM") as caught:
        pages_of(tmp_path / "a", EPUB, documents.zip_of(parts))
    assert caught.value.code == "password_protected"
    parts["META-INF/encryption.xml"] = ENCRYPTED.format(name="font.otf")
    assert len(pages_of(tmp_path / "a", EPUB, documents.zip_of(parts))) == 1


@pytest.mark.parametrize("package", ["", "<package/>", "<package><spine><itemref idref='a'/>"])
def test_a_book_without_pages_is_damaged(package: str, tmp_path: Path) -> None:
    parts = {**parts_of(epub_of({"a.xhtml": "x"})), "book/package.opf": package}
    with pytest.raises(Unconvertible) as caught:
        pages_of(tmp_path / "a", EPUB, documents.zip_of(parts))
    assert caught.value.code == "corrupt"


def test_a_declaration_of_a_type_is_no_text_and_takes_no_time(tmp_path: Path) -> None:
    page = '<!DOCTYPE html [<!ENTITY a "b">]><html><body><p>x &a; y</p></body></html>'
    assert "]>" not in markdown_of(tmp_path / "a", EPUB, epub_of({"a.xhtml": page}))
    before = process_time()
    parse_xhtml(b"<!DOCTYPE" * 20_000)
    assert process_time() - before < 5
