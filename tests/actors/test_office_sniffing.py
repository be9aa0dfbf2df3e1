"""Office packages are detected by what they declare, whatever their parts are called."""

import io
import zipfile

import pytest

from actors.content_types import DOCX, PPTX, XLSX
from actors.sniffing import SNIFF_LENGTH, sniff
from tests import documents

WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml"
MACROS = "application/vnd.ms-word"


def package(kind: str, *, last: bool = False, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a package whose main part has an unusual name, with its types first or last."""
    types = documents.content_types("parts/main.xml", kind)
    entries = [("[Content_Types].xml", types), ("parts/main.xml", "<a/>"), ("big", "x" * 200_000)]
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in reversed(entries) if last else entries:
            archive.writestr(name, content, zipfile.ZIP_STORED if name == "big" else method)
    return made.getvalue()


def sniffed(data: bytes) -> str | None:
    return sniff(data[:SNIFF_LENGTH], data[-SNIFF_LENGTH:])


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (f"{WORD}.document.main+xml", DOCX),
        (f"{WORD}.template.main+xml", DOCX),
        (f"{MACROS}.document.macroEnabled.main+xml", DOCX),
        (f"{MACROS}.template.macroEnabledTemplate.main+xml", DOCX),
        (f"{documents.OFFICE}.presentationml.slideshow.main+xml", PPTX),
        (f"{documents.OFFICE}.spreadsheetml.template.main+xml", XLSX),
        ("application/vnd.ms-excel.sheet.macroEnabled.main+xml", XLSX),
        ("application/x-something.main+xml", None),
    ],
)
def test_a_package_is_of_the_type_that_its_main_part_has(kind: str, found: str | None) -> None:
    assert sniffed(package(kind)) == found


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_declared_types_may_be_the_last_entry(method: int) -> None:
    assert sniffed(package(f"{WORD}.document.main+xml", last=True, method=method)) == DOCX


def test_a_package_within_a_package_is_not_its_type() -> None:
    inner = package(f"{WORD}.document.main+xml")
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("inner.docx", inner)
    assert sniffed(outer.getvalue()) is None


def test_broken_packages_have_no_type() -> None:
    whole = package(f"{WORD}.document.main+xml")
    for cut in range(0, len(whole), 997):
        sniffed(whole[:cut])  # without an error
    assert sniffed(whole.replace(b"PK\x05\x06", b"PK\x05\x07")) is None
