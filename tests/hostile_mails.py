"""Hostile mails of both formats: loops, floods, depths, bombs. One function a kind."""

import random
import struct
from collections.abc import Callable

from tests import compound_files, documents, hostile_offices, mails

HEAD = b"From: a@example.org\r\nTo: b@example.org\r\nSubject: S\r\nMIME-Version: 1.0\r\n"


def multipart(boundary: str, kind: str, content: bytes) -> bytes:
    return f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\n'.encode() + content


def deep_multiparts(dice: random.Random) -> bytes:
    kind, depth = (
        dice.choice(["mixed", "alternative", "related", "signed"]),
        dice.choice([60, 3000]),
    )
    lines = b"".join(
        f"--b{n}\r\n".encode() + multipart(f"b{n + 1}", kind, b"") for n in range(depth)
    )
    return HEAD + multipart("b0", kind, lines) + b"--b%d\r\n\r\ntext" % depth


def many_parts(dice: random.Random) -> bytes:
    kind = dice.choice(["mixed", "alternative", "related"])
    part = dice.choice(
        [
            b"\r\nx",
            b"Content-Type: text/html\r\n\r\n<p>x",
            b"Content-Disposition: attachment; filename=x.txt\r\n\r\nx",
            b"",
        ]
    )
    return HEAD + multipart("X", kind, (b"--X\r\n" + part + b"\r\n") * 100_000)


def deep_mails(dice: random.Random) -> bytes:
    part = b"Content-Type: message/rfc822\r\n\r\n"
    return HEAD + part + (HEAD + part) * dice.choice([20, 5000]) + HEAD + b"\r\ntext"


def false_boundaries(dice: random.Random) -> bytes:
    boundary = dice.choice(["a", "-", "aaaaaaaa", ""])
    line = b"--" + boundary.encode() + dice.choice([b"x", b"--x", b" x\r\n", b""])
    return HEAD + multipart(boundary, "mixed", line * 700_000)


def long_headers(dice: random.Random) -> bytes:
    header = dice.choice(
        [
            b"Subject: " + b"=?utf-8?Q?a?= " * 300_000,
            b"X-A: b\r\n" * 300_000,
            b"Content-Type: text/plain" + b';a="\\' * 200_000,
            b"Content-Disposition: attachment"
            + b"".join(b"; filename*%d*=a" % n for n in range(50_000)),
            b"Subject: " + b"a" * 5_000_000,
            b"Subject: x\r\n" + b" y\r\n" * 500_000,
            b"Content-Type: multipart/mixed; boundary*0=" + b"X; boundary*1=" * 20_000,
        ]
    )
    return HEAD + header + b"\r\n\r\ntext"


def odd_encodings(dice: random.Random) -> bytes:
    charset = dice.choice(["idna", "punycode", "unicode_escape", "zip", "undefined", "x" * 9000])
    encoding = dice.choice(["base64", "quoted-printable", "x-uuencode", "binary", "7bit"])
    head = f"Content-Type: text/plain; charset={charset}\r\n"
    head += f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    return (
        HEAD + head.encode() + dice.choice([b"a-" * 200_000, b"=", b"====\r\n" * 9000, b"M" * 99])
    )


def deep_quotes(dice: random.Random) -> bytes:
    return (
        HEAD + b"\r\n" + dice.choice([b">" * 2_000_000, b">\r\n>>\r\n" * 50_000, b"> " * 200_000])
    )


def deep_html(dice: random.Random) -> bytes:
    tag = dice.choice(["div", "table><tr><td", "blockquote", "ul><li", "b", "span"])
    page = f"<{tag}>" * dice.choice([300, 20_000]) + "text"
    return HEAD + b"Content-Type: text/html\r\n\r\n" + page.encode()


def repeated_images(dice: random.Random) -> bytes:
    made = mails.mail()
    made.add_alternative('<img src="cid:x@y">' * 30_000, subtype="html")
    picture = documents.image_file(documents.text_image("Hi"), "PNG") + bytes(900_000)
    made.get_payload()[1].add_related(picture, "image", "png", cid="<x@y>")  # type: ignore[index, union-attr]
    return made.as_bytes()


def bombs(dice: random.Random) -> bytes:
    made = mails.mail()
    for number in range(dice.choice([1, 5])):
        bomb = hostile_offices.zip_bomb(dice, "http://127.0.0.1:1/x", "/x")
        mails.attach(made, bomb, f"bomb{number}.docx")
    mails.attach(made, documents.docx(documents.paragraph("Sound.")), "sound.docx")
    return made.as_bytes()


def many_attachments(dice: random.Random) -> bytes:
    data = dice.choice([documents.pdf("words"), documents.docx(documents.paragraph("words"))])
    made = mails.mail()
    for number in range(900):
        mails.attach(made, data, f"{number}.x")
    return made.as_bytes()


def many_pages(dice: random.Random) -> bytes:
    made = mails.mail()
    for number in range(3):
        mails.attach(made, documents.pdf(*["x"] * 3000), f"{number}.pdf")
    return made.as_bytes()


def opaque_signatures(dice: random.Random) -> bytes:
    inner = b"\r\ntext"
    for _ in range(dice.choice([3, 2000])):
        header = (
            b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80\x30\x80\x30\x80\xa0\x80"
        )
        inner = (
            b"Content-Type: application/pkcs7-mime\r\n\r\n"
            + header
            + b"\x04\x84"
            + len(inner).to_bytes(4, "big")
            + inner
        )
    return HEAD + inner


def mailbox(dice: random.Random) -> bytes:
    mail = b"From x Sat Nov 28 11:38:10 2026\n" + HEAD.replace(b"\r", b"") + b"\ntext\n\n"
    return mail * dice.choice([600, 20_000])


def damaged_mail(dice: random.Random) -> bytes:
    return _damaged(mails.with_attachments(), dice, after=200)


def whole_message() -> bytes:
    inner = compound_files.message({0x0037: "Inner", 0x1000: "words " * 2000}, header=24)
    files = [
        compound_files.attached("a.docx", documents.docx(documents.paragraph("words"))),
        compound_files.attached_message("inner", inner),
    ]
    people = [(1, "Anna", "anna@example.org")]
    return compound_files.msg({0x0037: "Outer", 0x1000: "words " * 900}, None, files, people)


def damaged_message(dice: random.Random) -> bytes:
    return _damaged(whole_message(), dice, after=512)


def looping_sectors(dice: random.Random) -> bytes:
    """Numbers in the table of sectors, in the header or in the directory that lead anywhere."""
    made = bytearray(whole_message())
    table = (struct.unpack_from("<I", made, 76)[0] + 1) * 512
    directory = (struct.unpack_from("<I", made, 48)[0] + 1) * 512
    for _ in range(dice.choice([1, 20, 120])):
        at = dice.choice(
            [
                table + 4 * dice.randrange(128),
                40 + 4 * dice.randrange(20),
                directory + 68 + 128 * dice.randrange(40) + 4 * dice.randrange(3),
                directory + 116 + 128 * dice.randrange(40),
            ]
        )
        value = dice.choice([0, 1, 2, 5, dice.randrange(60), 2**31, 2**32 - 2, 2**32 - 1])
        made[at : at + 4] = struct.pack("<I", value)
    return bytes(made)


def deep_messages(dice: random.Random) -> bytes:
    tree = compound_files.message({0x0037: "S"}, header=24)
    for _ in range(dice.choice([12, 90])):
        tree = compound_files.message(
            {0x0037: "S"}, None, [compound_files.attached_message("m", tree)], header=24
        )
    return compound_files.compound(tree)


def flooded_message(dice: random.Random) -> bytes:
    attachment = compound_files.attached("a.txt", b"text")
    people = [(1, "A" * 100, "a@example.org")] * 3000
    return compound_files.msg({0x0037: "S" * 100_000}, None, [attachment] * 3000, people)


def hostile_rtf(dice: random.Random) -> bytes:
    rtf = dice.choice(
        [
            b"{\\rtf1\\fromhtml1 " + b"{" * 200_000 + b"x",
            b"{\\rtf1\\fromhtml1 " + b"{\\*\\htmltag <div>}" * 50_000,
            b"{\\rtf1 " + b"{\\b " * 100_000 + b"x",
            b"{\\rtf1\\fromhtml1 \\u-99999? \\'zz \\ansicpg9999999999 x}",
        ]
    )
    size = dice.choice([len(rtf), 2**32 - 1, 0])
    body = b"".join(b"\0" + rtf[at : at + 8] for at in range(0, len(rtf), 8))
    if dice.random() < 0.4:
        body = b"\xff" + b"\x00\x0f" * 8 + b"\xff" * 2_000_000  # only references
    packed = struct.pack("<IIII", len(body), size, 0x75465A4C, 0) + body
    return compound_files.msg({0x0037: "S"}, {0x1009: packed})


def _damaged(data: bytes, dice: random.Random, after: int) -> bytes:
    match dice.randrange(3):
        case 0:
            return data[: dice.randrange(after, len(data))]
        case 1:
            start = dice.randrange(after, len(data))
            return data[:start] + data[start + dice.randrange(1, 3000) :]
    made = bytearray(data)
    for _ in range(dice.choice([1, 30, 500])):
        made[dice.randrange(after, len(made))] ^= 1 << dice.randrange(8)
    return bytes(made)


Make = Callable[[random.Random], bytes]

SENT: dict[str, Make] = {
    make.__name__: make
    for make in (
        deep_multiparts,
        many_parts,
        deep_mails,
        false_boundaries,
        long_headers,
        odd_encodings,
        deep_quotes,
        deep_html,
        repeated_images,
        bombs,
        many_attachments,
        many_pages,
        opaque_signatures,
        mailbox,
        damaged_mail,
    )
}
OF_OUTLOOK: dict[str, Make] = {
    make.__name__: make
    for make in (
        damaged_message,
        looping_sectors,
        deep_messages,
        flooded_message,
        hostile_rtf,
    )
}
