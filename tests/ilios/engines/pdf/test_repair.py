"""Repair of damaged PDFs that are protected."""

from pathlib import Path

import pypdfium2
import pytest

from actors.engines import Unconvertible
from ilios.engines.pdf.protection import unprotected_copy
from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.protected_pdfs import KINDS, TEXT, Kind, protected_pdf


def damaged(kind: Kind, user: bytes = b"user", *, inline: bool = False) -> bytes:
    """Return a protected PDF whose catalogue is lost.

    :param inline: its protection is part of the trailer, and the identifiers are literal strings.
    """
    data = protected_pdf(kind, user)
    if inline:
        data = data.replace(b"<< /Type /Catalog /Pages 2 0 R >>", b"<< >>")
        literal = b"".join(b"\\%03o" % code for code in range(16))
        return data.replace(b"<%s>" % bytes(range(16)).hex().encode(), b"(%s)" % literal)
    body, trailer = data.split(b"xref\n0 ", 1)
    ids, protection = trailer.split(b"/ID ")[1].split(b" /Encrypt ")
    dictionary = protection.split(b" >>\nstartxref")[0]
    body = body.replace(b"<< /Type /Catalog /Pages 2 0 R >>", b"<< >>")
    return (
        body
        + b"8 0 obj\n%s\nendobj\n" % dictionary
        + b"trailer\n<< /Encrypt 8 0 R /ID %s >>\n" % ids
    )


@pytest.mark.parametrize("inline", [False, True])
def test_a_damaged_protected_pdf_asks_for_its_password(
    convert_pdf: ConvertPdf, *, inline: bool
) -> None:
    with pytest.raises(Unconvertible) as refused:
        convert_pdf(damaged("AES-128", inline=inline))
    assert refused.value.code == "password_protected"


@pytest.mark.parametrize("inline", [False, True])
def test_a_damaged_pdf_that_needs_no_password_is_repaired(
    convert_pdf: ConvertPdf, *, inline: bool
) -> None:
    (page,) = convert_pdf(damaged("RC4-128", b"", inline=inline))
    assert page.markdown == TEXT


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_protected_pdf_is_repaired_and_opened(
    tmp_path: Path, kind: Kind, *, inline: bool
) -> None:
    path = tmp_path / "document"
    path.write_bytes(damaged(kind, inline=inline))
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
