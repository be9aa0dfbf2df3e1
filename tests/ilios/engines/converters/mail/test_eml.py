"""Mails as they are sent: headers, texts, attachments, and what is wrong with them."""

import base64
from email.message import EmailMessage

import pytest

from actors.engines import Unconvertible
from ilios.engines.converters.mail.message import MAX_DEPTH
from ilios.engines.pages import Reading
from schemas.options import PageRange
from tests import documents, mails
from tests.conversions import convert, count, messages, texts

HEAD = b"From: bert@example.org\r\nTo: anna@example.org\r\nSubject: Raw\r\nMIME-Version: 1.0\r\n"


def test_headers_and_text_of_a_mail_are_a_page() -> None:
    (page,) = texts(
        mails.mail("Offer & more", "Dear Anna,\n\nfirst line\nsecond line\n").as_bytes()
    )
    assert page == (
        "# Offer & more\n\n"
        "**From:** Bert Beispiel <bert@example.org>\n\n"
        "**To:** Anna Muster <anna@example.org>\n\n"
        "**Date:** Sat, 28 Nov 2026 11:38:10 +0000\n\n"
        "Dear Anna,\n\nfirst line  \nsecond line"
    )


def test_attachments_are_pages_after_the_text_in_their_order() -> None:
    data = mails.with_attachments()
    pages = convert(data)
    firsts = [page.result.markdown.split("\n")[0] for page in pages]
    assert firsts == [
        "# Papers",
        "# report.docx",
        "# slides.pptx",
        "# Second",
        "# Inner mail",
        "# letter.pdf",
    ]
    assert "Words of the PDF" in pages[5].result.markdown
    assert "**Attachments:** report.docx, slides.pptx, Inner mail, unknown.bin" in (
        pages[0].result.markdown
    )
    (warning,) = messages(pages)
    assert warning.endswith("left out: unknown.bin (a file of an unknown type).")
    assert count(data) == len(pages)


def test_pages_are_selected_among_those_of_all_attachments() -> None:
    data = mails.with_attachments()
    pages = convert(data, Reading(ranges=(PageRange(2, 2), PageRange(4, 4), PageRange(6, 9))))
    assert [page.result.index for page in pages] == [1, 3, 5]
    assert [page.result.markdown.split("\n")[0] for page in pages] == [
        "# report.docx",
        "# Second",
        "# letter.pdf",
    ]
    with pytest.raises(Unconvertible, match="6 pages"):
        convert(data, Reading(ranges=(PageRange(7, 9),)))


def test_an_attachment_that_fails_costs_only_itself() -> None:
    made = mails.mail()
    mails.attach(made, documents.encrypted_pdf(), "locked.pdf", documents.PDF)
    mails.attach(made, b"\xff\xd8\xff no image", "broken.jpg", "image/jpeg")
    mails.attach(made, documents.docx(documents.paragraph("Sound words.")), "sound.docx")
    pages = convert(made.as_bytes())
    assert [page.result.markdown.split("\n")[0] for page in pages] == [
        "# A subject",
        "# sound.docx",
    ]
    first = pages[0].result.warnings
    assert [warning.code for warning in first] == ["part_unreadable", "part_unreadable"]
    assert "broken.jpg (" in first[0].message
    assert "locked.pdf (" in first[1].message
    # By number the others are where they are: the image has a page.
    selected = convert(made.as_bytes(), Reading(ranges=(PageRange(2, None),)))
    assert [page.result.index for page in selected] == [1, 2]
    assert "Sound words." in selected[1].result.markdown


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        (b"Subject: =?utf-8?B?R3LDvMOfZQ==?= =?utf-8?Q?_aus_K=C3=B6ln?=", "Grüße aus Köln"),
        (b"Subject: =?iso-8859-1?Q?Caf=E9?=", "Café"),
        (b"Subject: =?gb2312?B?xOO6ww==?=", "你好"),
        (b"Subject: =?windows-1251?Q?=CF=F0=E8=E2=E5=F2?=", "Привет"),
        ("Subject: Größe".encode(), "Größe"),
        ("Subject: Größe".encode("latin-1"), "Größe"),
        (b"Subject: folded\r\n over two lines", "folded over two lines"),
        (b"Subject: =?nothing?B?eA==?=", "x"),
        (b"Subject: =?utf-8?B?broken", "=?utf-8?B?broken"),
    ],
)
def test_subjects_are_decoded(header: bytes, shown: str) -> None:
    data = HEAD.replace(b"Subject: Raw", header) + b"\r\nText."
    assert texts(data)[0].split("\n")[0] == f"# {shown}"


@pytest.mark.parametrize(
    ("disposition", "shown"),
    [
        (b"attachment; filename*=UTF-8''Gr%C3%B6%C3%9Fe.bin", "Größe.bin"),
        (
            b"attachment;\r\n filename*0*=utf-8''G%C3%BCn; filename*1=ther; filename*2=.bin",
            "Günther.bin",
        ),
        (b'attachment; filename="=?utf-8?Q?=C3=9Cber.bin?="', "Über.bin"),
        (b'attachment; filename="a \\"b\\".bin"', 'a "b".bin'),
        ("attachment; filename=Größe.bin".encode(), "Größe.bin"),
    ],
)
def test_names_of_attachments_are_decoded(disposition: bytes, shown: str) -> None:
    part = b"Content-Type: application/octet-stream\r\nContent-Disposition: " + disposition
    data = multipart("mixed", b"\r\nText.", part + b"\r\n\r\n\x00\x01")
    page = convert(data)[0].result
    assert f"**Attachments:** {shown}" in page.markdown
    assert shown in page.warnings[0].message


def multipart(kind: str, *parts: bytes, end: bytes = b"\r\n--XX--\r\n") -> bytes:
    head = HEAD + f'Content-Type: multipart/{kind}; boundary="XX"\r\n\r\npreamble\r\n'.encode()
    return (
        head + b"".join(b"--XX\r\n" + part + b"\r\n" for part in parts).removesuffix(b"\r\n") + end
    )


@pytest.mark.parametrize(
    "end", [b"\r\n--XX--\r\nepilogue", b"\r\n--XX--", b"\r\n", b"", b"\n--XX--  \n"]
)
def test_a_multipart_that_is_cut_off_has_its_parts(end: bytes) -> None:
    data = multipart("mixed", b"\r\nFirst.", b"Content-Type: text/plain\r\n\r\nSecond.", end=end)
    page = texts(data)[0]
    assert page.endswith("First.\n\nSecond.")
    assert "preamble" not in page


def test_the_richer_form_of_a_text_is_read_and_not_both() -> None:
    made = mails.mail(text="plain Dear Anna\n")
    made.add_alternative(mails.HTML, subtype="html")
    page = texts(made.as_bytes())[0]
    assert "Offer" in page
    assert "plain" not in page


def test_a_text_in_any_encoding_is_read() -> None:
    for encoding, charset in (("utf-8", "utf-8"), ("cp1252", "iso-8859-1"), ("koi8-r", "koi8-r")):
        text = "Grüße" if encoding != "koi8-r" else "Привет"
        raw = base64.b64encode(text.encode(encoding))
        part = f"Content-Type: text/plain; charset={charset}\r\n".encode()
        data = HEAD + part + b"Content-Transfer-Encoding: base64\r\n\r\n" + raw
        assert texts(data)[0].endswith(text)
    wrong = HEAD + b"Content-Type: text/plain; charset=idna\r\n\r\n" + "Grüße".encode()
    assert texts(wrong)[0].endswith("Grüße")


def test_flowed_lines_are_joined_and_quotes_stay_quotes() -> None:
    text = b"A long line that \r\nis flowed.\r\n> quoted text that \r\n> goes on\r\nAnswer.\r\n"
    data = HEAD + b"Content-Type: text/plain; format=flowed\r\n\r\n" + text
    assert texts(data)[0].endswith(
        "A long line that is flowed.\n\n> quoted text that goes on\n\nAnswer."
    )


def test_plain_text_has_no_markup_but_its_lists() -> None:
    text = "# no heading\n*stars* and <b>tags</b>\n- one\n- two\n---\n    indented\n"
    page = texts(mails.mail(text=text).as_bytes())[0]
    assert page.endswith(
        "\\# no heading  \n\\*stars\\* and \\<b>tags\\</b>\n- one\n- two  \n\\---  \nindented"
    )


def test_lines_that_the_sender_has_ended_stay_lines_and_filled_ones_go_on() -> None:
    filled = "These are lines that the program of the sender has filled to the end, so\nthey go on."
    address = "Bert Beispiel\nA Street 1\nTown"
    text = f"{filled}\n\n{address}\n-- \n> Dear Bert,\n> thanks  \n>\n> {address[:5]}\n"
    assert texts(mails.mail(text=text).as_bytes())[0].endswith(
        f"{filled}\n\nBert Beispiel  \nA Street 1  \nTown  \n\\--\n\n"
        "> Dear Bert,  \n> thanks\n>\n> Bert"
    )
    flowed = HEAD + b"Content-Type: text/plain; format=flowed\r\n\r\n" + filled.encode()
    assert texts(flowed)[0].endswith(filled.replace("\n", "  \n"))


def test_signed_mails_are_read_and_encrypted_ones_are_named() -> None:
    signature = b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\n\r\nxx"
    page = convert(multipart("signed", b"\r\nSigned words.", signature))[0].result
    assert page.markdown.endswith("Signed words.")
    assert page.warnings == ()
    secret = b"Content-Type: application/octet-stream\r\n\r\nxx"
    page = convert(multipart("encrypted", secret))[0].result
    assert "encrypted" in page.warnings[0].message
    opaque = HEAD + b"Content-Type: application/pkcs7-mime; name=smime.p7m\r\n\r\n"
    assert "encrypted" in convert(opaque + b"0\x82")[0].result.warnings[0].message
    inner = b"Content-Type: text/plain\r\n\r\nWords in one block."
    page = convert(opaque + signed(inner))[0].result
    assert page.markdown.endswith("Words in one block.")


def element(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    return bytes([tag, 0x84]) + len(content).to_bytes(4, "big") + content


def signed(content: bytes) -> bytes:
    data = element(0x06, bytes.fromhex("2a864886f70d010701"))
    encapsulated = element(0x30, data, element(0xA0, element(0x04, content)))
    inner = element(0x30, element(0x02, b"\x01"), element(0x31), encapsulated)
    kind = element(0x06, bytes.fromhex("2a864886f70d010702"))
    return element(0x30, kind, element(0xA0, inner))


def test_mails_attached_to_each_other_are_read_to_a_depth() -> None:
    made: EmailMessage = mails.mail("Mail 0", "Words 0.")
    for number in range(1, MAX_DEPTH + 2):
        outer = mails.mail(f"Mail {number}", f"Words {number}.")
        outer.add_attachment(made)
        made = outer
    pages = convert(made.as_bytes())
    assert len(pages) == MAX_DEPTH
    assert "more than 8 mails" in pages[-1].result.warnings[0].message


def test_a_mail_attached_as_a_file_is_read() -> None:
    made = mails.mail("Outer")
    mails.attach(made, mails.mail("Inner", "Inner words.").as_bytes(), "saved.eml")
    pages = texts(made.as_bytes())
    assert pages[1].startswith("# saved.eml\n\n**Subject:** Inner")
    assert "Inner words." in pages[1]


def test_images_of_a_page_are_shown_and_others_are_attachments() -> None:
    picture = documents.image_file(documents.text_image("Hello"), "PNG")
    made = mails.mail("Images", "plain")
    page = '<p>Look: <img src="cid:logo@x" alt="Logo"> <a href="https://example.org">here</a></p>'
    made.add_alternative(page, subtype="html")
    html = made.get_payload()[1]  # type: ignore[index]
    html.add_related(picture, "image", "png", cid="<logo@x>")  # type: ignore[union-attr]
    html.add_related(picture, "image", "png", cid="<other@x>", filename="other.png")  # type: ignore[union-attr]
    first, second = convert(made.as_bytes())
    assert first.result.markdown.endswith(
        "**Attachments:** other.png\n\nLook: ![Logo](img-0.png) [here](https://example.org)"
    )
    assert first.image_bytes == {"img-0.png": picture}
    assert second.result.markdown.startswith("# other.png")


def test_the_number_of_parts_is_bounded() -> None:
    data = multipart("mixed", *[b"\r\npart"] * 3000)
    page = convert(data)[0].result
    assert [warning.code for warning in page.warnings] == ["content_left_out"]


def test_the_mails_of_a_mailbox_are_pages() -> None:
    line = b"From bert@example.org Sat Nov 28 11:38:10 2026\n"
    first = HEAD + b"Message-ID: <1@x>\r\n\r\nFirst words.\r\n\r\n"
    second = multipart("mixed", b"\r\nSecond words.").replace(b"Raw", b"Other")
    pages = texts(line + first + line + second + b"\n\n" + line + first)
    assert [page.split("\n")[0] for page in pages[1:]] == ["# Raw", "# Other", "# Raw"]
    assert [page.rsplit("\n")[-1] for page in pages[1:]] == [
        "First words.",
        "Second words.",
        "First words.",
    ]


def test_the_parts_of_a_digest_are_mails() -> None:
    inner = b"\r\nFrom: c@example.org\r\nSubject: One of them\r\n\r\nWords of one."
    first, second = texts(multipart("digest", inner))
    assert "**Attachments:** One of them" in first
    assert second == "# One of them\n\n**From:** c@example.org\n\nWords of one."
