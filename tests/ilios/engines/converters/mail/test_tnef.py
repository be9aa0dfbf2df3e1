"""Mails whose attachments Outlook has packed into winmail.dat."""

import struct

import pytest

from tests import documents
from tests.conversions import convert, messages
from tests.mails import attach, mail

BODY, BEGINS, TITLE, DATA, OF_ATTACHMENT = 0x2800C, 0x69002, 0x18010, 0x6800F, 0x69005
CODE_PAGE, PROPERTIES = 0x69007, 0x69003
WIDE, OBJECT, NUMBER = 0x1F, 0x0D, 0x03


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("<BII", 1, kind, len(data)) + data + b"\0\0"


def packed(*attributes: bytes) -> bytes:
    code_page = attribute(CODE_PAGE, struct.pack("<II", 1252, 0))
    return b"\x78\x9f\x3e\x22\x01\x00" + code_page + b"".join(attributes)


def filled(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def properties(*each: tuple[int, int, bytes]) -> bytes:
    """Return properties behind a named one of several numbers."""
    named = struct.pack("<I16sIII", 0x8001 << 16 | 0x1000 | NUMBER, b"", 0, 1, 2) + bytes(8)
    others = b"".join(
        struct.pack("<III", number << 16 | kind, 1, len(data)) + filled(data)
        for number, kind, data in each
    )
    return struct.pack("<I", 1 + len(each)) + named + others


def text(number: int, value: str) -> tuple[int, int, bytes]:
    return number, WIDE, f"{value}\0".encode("utf-16-le")


def attached(name: str, data: bytes, long_name: str = "") -> bytes:
    more = attribute(OF_ATTACHMENT, properties(text(0x3707, long_name))) if long_name else b""
    return (
        attribute(BEGINS, bytes(14))
        + attribute(TITLE, f"{name}\0".encode("cp1252"))
        + attribute(DATA, data)
        + more
    )


def with_winmail(data: bytes, body: str = "Words of the mail.") -> bytes:
    made = mail("Papers", body)
    attach(made, data, "winmail.dat", "application/ms-tnef")
    return made.as_bytes()


def test_what_outlook_packs_is_attached_to_the_mail() -> None:
    report = documents.docx(documents.paragraph("Words of the report."))
    inner = packed(
        attribute(PROPERTIES, properties(text(0x37, "Inner"), text(0x1000, "Words inside.")))
    )
    attached_mail = attribute(BEGINS, bytes(14)) + attribute(
        OF_ATTACHMENT, properties((0x3701, OBJECT, bytes(16) + inner))
    )
    data = packed(
        attribute(BODY, b"Words of the mail, once more."),
        attached("REPORT~1.DOC", report, "Größe report.docx"),
        attached("Größe.txt", b"Words of a file."),
        attached_mail,
    )
    pages = [page.result.markdown for page in convert(with_winmail(data))]
    assert "**Attachments:** Größe report.docx, Größe.txt, Inner" in pages[0]
    assert "once more" not in pages[0]
    assert pages[1:3] == [
        "# Größe report.docx\n\nWords of the report.",
        "# Größe.txt\n\nWords of a file.",
    ]
    assert "Words inside." in pages[3]


def test_the_packed_text_is_shown_where_the_mail_has_none() -> None:
    (page,) = convert(with_winmail(packed(attribute(BODY, b"Only here.")), body=""))
    assert page.result.markdown.endswith("Only here.")


@pytest.mark.parametrize(
    "data",
    [
        b"something else",
        packed(attribute(BODY, b"x"))[:-4],
        packed(attribute(PROPERTIES, struct.pack("<II", 9, 0x1000001F))),
        packed(attribute(PROPERTIES, struct.pack("<III", 1, 0x1000101F, 0xFFFFFFFF))),
    ],
)
def test_damaged_data_are_a_warning(data: bytes) -> None:
    pages = convert(with_winmail(data))
    assert any("winmail.dat, which is damaged" in one for one in messages(pages))
    assert "Words of the mail." in pages[0].result.markdown


def test_mails_packed_into_each_other_are_read_to_a_depth() -> None:
    data = packed(attribute(BODY, b"deepest"))
    for _ in range(20):
        data = packed(
            attribute(BODY, b"one more"),
            attribute(BEGINS, bytes(14)),
            attribute(OF_ATTACHMENT, properties((0x3701, OBJECT, bytes(16) + data))),
        )
    pages = convert(with_winmail(data))
    assert len(pages) == 8
    assert any("attached to each other" in one for one in messages(pages))
