"""Messages of Outlook: headers, texts in every form, attachments, damaged files."""

import struct

import pytest

from actors.engines import Unconvertible
from ilios.engines.converters.mail import compressed_rtf, encapsulated
from tests import documents
from tests.compound_files import attached, attached_message, compound, message, msg
from tests.conversions import convert, count, messages, texts

SUBJECT, BODY, HTML, RTF, CLASS = 0x0037, 0x1000, 0x1013, 0x1009, 0x001A
HEADERS = {0x0042: "Bert Beispiel", 0x5D02: "bert@example.org", SUBJECT: "Größe"}
PEOPLE = [(1, "Anna Muster", "anna@example.org"), (2, "copy@example.org", "copy@example.org")]


def test_headers_text_and_attachments_are_pages() -> None:
    report = documents.docx(documents.paragraph("Words of the report."))
    inner = message({SUBJECT: "Inner", BODY: "Inner words."}, header=24)
    data = msg(
        {**HEADERS, BODY: "Dear Anna,\r\nsome words.\r\n"},
        recipients=PEOPLE,
        attachments=[
            attached("report.docx", report),
            attached_message("forwarded", inner),
            attached("noise.bin", bytes(range(256)) * 40),
        ],
    )
    pages = convert(data)
    assert pages[0].result.markdown == (
        "# Größe\n\n**From:** Bert Beispiel <bert@example.org>\n\n"
        "**To:** Anna Muster <anna@example.org>\n\n**Cc:** copy@example.org\n\n"
        "**Date:** Sat, 28 Nov 2026 11:38:10 +0000\n\n"
        "**Attachments:** report.docx, forwarded, noise.bin\n\nDear Anna,  \nsome words."
    )
    assert pages[1].result.markdown == "# report.docx\n\nWords of the report."
    assert pages[2].result.markdown.startswith("# forwarded\n\n**Subject:** Inner")
    assert pages[2].result.markdown.endswith("Inner words.")
    assert len(messages(pages)) == 1
    assert count(data) == 3


def compressed(rtf: bytes) -> bytes:
    """Return compressed RTF whose every byte stands for itself."""
    body = b"".join(b"\0" + rtf[at : at + 8] for at in range(0, len(rtf), 8))
    return struct.pack("<IIII", len(body) + 12, len(rtf), 0x75465A4C, 0) + body


def test_html_wrapped_in_compressed_rtf_is_unwrapped() -> None:
    rtf = (
        rb"{\rtf1\ansi\ansicpg1252\fromhtml1 {\fonttbl{\f0 Arial;}}{\*\htmltag64 <p>}"
        rb"\htmlrtf {\htmlrtf0 Gr\'fc\'dfe \u8364? {\*\htmltag84 <b>}\htmlrtf {\b\htmlrtf0 here"
        rb"{\*\htmltag92 </b>}\htmlrtf }\htmlrtf0 {\*\htmltag72 </p>}}"
    )
    assert compressed_rtf.unpack(compressed(rtf)) == rtf
    assert encapsulated.html(rtf) == "<p>Grüße € <b>here</b></p>"
    page = texts(msg({SUBJECT: "Wrapped"}, {RTF: compressed(rtf)}))[0]
    assert "Grüße €" in page


def test_compressed_rtf_refers_back() -> None:
    # The example of [MS-OXRTFCP], 3.1.1.
    data = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a00726370673132354232"
        "0af32068656c090020627705b06c647d"
        "0a800fa0"
    )
    assert compressed_rtf.unpack(data).startswith(rb"{\rtf1\ansi\ansicpg1252\pard hello world}")


def test_a_signed_message_is_read_from_its_mime_form() -> None:
    signed = b"Content-Type: multipart/signed; boundary=S\r\n\r\n--S\r\n"
    signed += b"Content-Type: text/plain\r\n\r\nSigned words.\r\n--S--\r\n"
    data = msg(
        {**HEADERS, CLASS: "IPM.Note.SMIME.MultipartSigned"},
        attachments=[attached("smime.p7m", signed, "multipart/signed")],
    )
    assert texts(data)[0].endswith("Signed words.")


@pytest.mark.parametrize("at", [76, 512 * 3, 200])
def test_a_chain_that_runs_in_a_circle_ends(at: int) -> None:
    made = bytearray(msg({**HEADERS, BODY: "x" * 9000}))
    table = struct.unpack_from("<I", made, 76)[0]
    offset = (table + 1) * 512
    for place in range(0, 512, 4):
        made[offset + place : offset + place + 4] = struct.pack("<I", (place * at) % 7)
    try:
        pages = convert(bytes(made))
    except (Unconvertible, AssertionError):
        return
    assert len(pages) == 1


def test_a_file_without_a_directory_is_damaged() -> None:
    made = bytearray(compound({"__nameid_version1.0": {}, "__substg1.0_0037001F": b"x\0"}))
    made[48:52] = struct.pack("<I", 2**31)
    with pytest.raises(Unconvertible, match="damaged"):
        convert(bytes(made))
