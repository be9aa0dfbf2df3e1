"""Macros of old Office documents are not executed, within the sandbox or without it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.content_types import DOC, XLS
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import EngineLimits
from tests import vba
from tests.conversions import texts
from tests.ilios.engines.conftest import PlaceDocument
from tests.libreoffice import (
    ALWAYS,
    NEVER,
    PROGRAM,
    needs_a_sandbox,
    needs_libreoffice,
    saved,
)

pytestmark = [needs_libreoffice, pytest.mark.slow]

WORDS = "Words beside the macro"
SHOWN = ("opening(0).Value = True", "opening(0).Value = False")
WAITING = ("  document.storeToURL", "  Wait 500\n  document.storeToURL")
"""LibreOffice executes what is bound to events in documents with a window, and later only."""

NAMESPACES = " ".join(
    [
        *(
            f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:{version}"'
            for name, version in (
                ("office", "1.0"),
                ("text", "1.0"),
                ("table", "1.0"),
                ("script", "1.0"),
                ("of", "1.2"),
            )
        ),
        'xmlns:ooo="http://openoffice.org/2004/office"',
        'xmlns:dom="http://www.w3.org/2001/xml-events"',
        'xmlns:xlink="http://www.w3.org/1999/xlink"',
    ]
)


def basic(place: Path, head: str, end: str) -> str:
    """Return the text of a macro that makes a file."""
    return f'{head}\r\nOpen "{place}" For Output As #1\r\nPrint #1, 1\r\nClose #1\r\n{end}\r\n'


def flat(kind: str, body: str, macro: str) -> bytes:
    """Return a document in one XML file, with a macro that is bound to its opening."""
    return (
        f'<office:document {NAMESPACES} office:version="1.2" '
        f'office:mimetype="application/vnd.oasis.opendocument.{kind}"><office:scripts>'
        '<office:script script:language="ooo:Basic"><ooo:libraries>'
        '<ooo:library-embedded ooo:name="Standard"><ooo:module ooo:name="M">'
        f"<ooo:source-code>{macro}</ooo:source-code></ooo:module></ooo:library-embedded>"
        "</ooo:libraries></office:script><office:event-listeners><script:event-listener "
        'script:language="ooo:script" script:event-name="dom:load" xlink:type="simple" '
        'xlink:href="vnd.sun.star.script:Standard.M.Attack?language=Basic&amp;location=document"/>'
        f"</office:event-listeners></office:scripts><office:body><office:{kind}>{body}"
        f"</office:{kind}></office:body></office:document>"
    ).encode()


def text(macro: str) -> bytes:
    return flat("text", f"<text:p>{WORDS}</text:p>", macro)


def sheet(macro: str) -> bytes:
    cells = (
        '<table:table-cell table:formula="of:=ATTACK(1)+NOW()*0"/>'
        f'<table:table-cell office:value-type="string"><text:p>{WORDS}</text:p></table:table-cell>'
    )
    row = f"<table:table-row>{cells}</table:table-row>"
    return flat("spreadsheet", f'<table:table table:name="A">{row}</table:table>', macro)


def word_file(folder: Path, mark: Path) -> bytes:
    """Return a DOC with macros that Word executes as it opens the document."""
    plain = saved(folder, text(""), "OpenDocument Text Flat XML", "MS Word 97")
    modules = {
        "ThisDocument": basic(mark, "Private Sub Document_Open()", "End Sub"),
        "Module1": basic(mark, "Sub AutoOpen()", "End Sub"),
    }
    return vba.with_project(plain, vba.WORD, modules)


def excel_file(folder: Path, mark: Path) -> bytes:
    """Return an XLS with macros that are executed as it opens, one of them by a cell."""
    function = ("Function ATTACK(x)", "ATTACK = 3\r\nEnd Function")
    # Without the function in it LibreOffice saves the name alone.
    plain = saved(
        folder,
        sheet(basic(folder / "never", *function)),
        "OpenDocument Spreadsheet Flat XML",
        "MS Excel 97",
    )
    modules = {
        "ThisWorkbook": basic(mark, "Private Sub Workbook_Open()", "End Sub"),
        "Module1": basic(mark, "Sub Auto_Open()", "End Sub") + basic(mark, *function),
    }
    return vba.with_project(plain, vba.EXCEL, modules)


@pytest.mark.parametrize(("macros", "is_executed"), [(ALWAYS, True), (NEVER, False)])
def test_the_function_of_a_cell_is_not_executed_without_the_sandbox(
    tmp_path: Path, macros: str, *, is_executed: bool
) -> None:
    mark = tmp_path / "executed"
    book = excel_file(tmp_path, mark)
    result = saved(tmp_path, book, "MS Excel 97", "Calc MS Excel 2007 XML", macros)
    assert mark.exists() == is_executed
    assert WORDS in texts(result)[0]


@pytest.mark.parametrize(("macros", "is_executed"), [(ALWAYS, True), (NEVER, False)])
def test_a_macro_bound_to_the_opening_is_not_executed_with_a_window(
    tmp_path: Path, macros: str, *, is_executed: bool
) -> None:
    mark = tmp_path / "executed"
    document = text(basic(mark, "Sub Attack", "End Sub"))
    read, write = "OpenDocument Text Flat XML", "MS Word 2007 XML"
    result = saved(tmp_path, document, read, write, macros, (*SHOWN, *WAITING))
    assert mark.exists() == is_executed
    assert WORDS in texts(result)[0]


def test_macros_of_word_are_not_executed_without_the_sandbox(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    document = word_file(tmp_path, mark)
    for changes in ((), (*SHOWN, *WAITING)):
        result = saved(tmp_path, document, "MS Word 97", "MS Word 2007 XML", NEVER, changes)
        assert WORDS in texts(result)[0]
    assert not mark.exists()


@needs_a_sandbox
@pytest.mark.parametrize(("make", "content_type"), [(word_file, DOC), (excel_file, XLS)])
async def test_the_words_beside_macros_are_converted(
    place_document: PlaceDocument,
    tmp_path: Path,
    make: Callable[[Path, Path], bytes],
    content_type: str,
) -> None:
    mark = tmp_path / "executed"
    document = place_document(make(tmp_path, mark), content_type)
    limits = EngineLimits(processes=1, libreoffice=str(PROGRAM))
    async with LocalEngine(limits) as engine:
        result = await engine.convert(document)
    assert WORDS in result.pages[0]
    assert not mark.exists()
