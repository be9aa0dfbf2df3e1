"""Repair of damaged PDFs that are protected."""

from pathlib import Path

import pypdfium2
import pytest

from actors.engines import Unconvertible
from ilios.engines.pdf.protection import unprotected_copy
from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.protected_pdfs import KINDS, TEXT, Kind, protected_pdf


def damaged(kind: Kind) -> bytes:
    """Return a protected PDF whose catalogue is lost, its protection being an object."""
    data = protected_pdf(kind, b"user")
    body, trailer = data.split(b"xref\n0 ", 1)
    ids, protection = trailer.split(b"/ID ")[1].split(b" /Encrypt ")
    dictionary = protection.split(b" >>\nstartxref")[0]
    body = body.replace(b"<< /Type /Catalog /Pages 2 0 R >>", b"<< >>")
    return (
        body
        + b"8 0 obj\n%s\nendobj\n" % dictionary
        + b"trailer\n<< /Encrypt 8 0 R /ID %s >>\n" % ids
    )


def test_a_damaged_protected_pdf_asks_for_its_password(convert_pdf: ConvertPdf) -> None:
    with pytest.raises(Unconvertible) as refused:
        convert_pdf(damaged("AES-128"))
    assert refused.value.code == "password_protected"


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_protected_pdf_is_repaired_and_opened(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "document"
    path.write_bytes(damaged(kind))
    with unprotected_copy(path, "user", lambda: None) as copy:
        document = pypdfium2.PdfDocument(copy)
        textpage = document[0].get_textpage()
        assert textpage.get_text_range() == TEXT
        textpage.close()
        document.close()
    with (
        pytest.raises(Unconvertible) as refused,
        unprotected_copy(path, "another", lambda: None),
    ):
        pass
    assert refused.value.code == "password_incorrect"
