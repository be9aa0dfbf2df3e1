"""Mails of random structure come out word for word, in order, in both formats."""

import random
from email import encoders
from email.header import Header
from email.message import Message as MimeMessage
from email.mime.application import MIMEApplication
from email.mime.base import MIMEBase
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from typing import Any

import pytest
from msgspec import Struct, field

from tests import compound_files, documents
from tests.conversions import count, texts

SEEDS = [pytest.param(seed, marks=[] if seed < 15 else [pytest.mark.long]) for seed in range(300)]
CHARSETS = ("utf-8", "iso-8859-1", "windows-1252", "utf-16", "koi8-r", "shift_jis", "gb2312")
LETTERS = {
    "koi8-r": "абвгдежз",
    "shift_jis": "日本語文字",
    "gb2312": "中文字符你",
}


class Mail(Struct):
    """A mail and the lines its page must have, in this order."""

    subject: str
    charset: str
    text: str
    html: str = ""
    lines: list[str] = field(default_factory=list)
    attachments: list[tuple[str, "bytes | Mail", list[list[str]]]] = field(default_factory=list)
    """Name, content, and the lines of each page."""


class Dice:
    """Random mails; every word occurs once."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._count = 0

    def word(self, letters: str = "abcdefgh") -> str:
        self._count += 1
        return f"{''.join(self.random.choices(letters, k=4))}{self._count}"

    def words(self, letters: str = "abcdefgh") -> str:
        return " ".join(self.word(letters) for _ in range(self.random.randint(1, 12)))

    def mail(self, depth: int = 0) -> Mail:
        charset = self.random.choice(CHARSETS)
        letters = LETTERS.get(charset, "abcäöüß")
        lines = [self.words(letters) for _ in range(self.random.randint(1, 6))]
        mail = Mail(self.words(letters), charset, "\r\n\r\n".join(lines), lines=lines)
        if self.random.random() < 0.5:
            mail.html = "<html><body>" + "".join(f"<p>{line}</p>" for line in lines)
            mail.text = "This is the other form."
        for _ in range(self.random.randint(0, 3)):
            mail.attachments.append(self.attachment(depth))
        return mail

    def attachment(self, depth: int) -> tuple[str, "bytes | Mail", list[list[str]]]:
        line = self.words()
        match self.random.randrange(5 if depth < 3 else 4):
            case 0:
                return f"{self.word()}.txt", line.encode(), [[line]]
            case 1:
                made = documents.docx(documents.paragraph(line))
                return f"{self.word()}.docx", made, [[line]]
            case 2:
                titles = [self.word() for _ in range(self.random.randint(1, 3))]
                made = documents.pptx({title: [f"in {title}"] for title in titles})
                return f"{self.word('äöü')}.pptx", made, [[title] for title in titles]
            case 3:
                return f"{self.word()}.html", f"<html><p>{line}</p>".encode(), [[line]]
        return self.word(), self.mail(depth + 1), []


def expected(mail: Mail, name: str = "") -> list[list[str]]:
    """Return the lines of each page of a mail."""
    pages = [[name or mail.subject, mail.subject, *mail.lines]]
    for name_, content, lines in mail.attachments:
        if isinstance(content, Mail):
            pages += expected(content, name_)
        else:
            pages += [[name_, *lines[0]], *lines[1:]]
    return pages


def eml(mail: Mail, dice: random.Random) -> MimeMessage:
    """Return a mail in the form in which one program or another sends it."""
    made = text_part(mail.text, "plain", mail.charset, dice)
    if mail.html:
        alternative = MIMEMultipart("alternative")
        alternative.attach(made)
        page = text_part(mail.html, "html", mail.charset, dice)
        if dice.random() < 0.3:
            related = MIMEMultipart("related")
            related.attach(page)
            page = related
        alternative.attach(page)
        made = alternative
    if mail.attachments or dice.random() < 0.2:
        mixed = MIMEMultipart("mixed")
        mixed.attach(made)
        for name, content, _ in mail.attachments:
            mixed.attach(attachment_part(name, content, dice))
        made = mixed
    if dice.random() < 0.2:
        signed = MIMEMultipart("signed")
        signed.attach(made)
        signed.attach(MIMEApplication(b"signature", "pkcs7-signature"))
        made = signed
    made["From"] = "Bert <bert@example.org>"
    made["To"] = "anna@example.org"
    made["Message-ID"] = "<1@example.org>"
    charset = mail.charset if mail.charset != "utf-16" else "utf-8"
    made["Subject"] = Header(mail.subject, charset).encode()
    return made


def text_part(text: str, kind: str, charset: str, dice: random.Random) -> MimeMessage:
    part = MIMENonMultipart("text", kind, charset=charset)
    part.set_payload(text.encode(charset))
    if charset == "utf-16" or dice.random() < 0.5:
        encoders.encode_base64(part)
    else:
        encoders.encode_quopri(part)
    return part


def attachment_part(name: str, content: "bytes | Mail", dice: random.Random) -> MimeMessage:
    part: MimeMessage
    if isinstance(content, Mail):
        part = MIMEMessage(eml(content, dice))
    else:
        part = MIMEBase("application", "octet-stream")
        part.set_payload(content)
        encoders.encode_base64(part)
    form: Any = name if dice.random() < 0.5 else ("utf-8", "", name)
    if not name.isascii() and isinstance(form, str):
        form = Header(name, "utf-8").encode()
    part.add_header("Content-Disposition", "attachment", filename=form)
    return part


def outlook(mail: Mail, header: int = 32) -> dict[str, Any]:
    """Return the tree of a mail as Outlook stores it."""
    attachments = [
        compound_files.attached_message(name, outlook(content, 24))
        if isinstance(content, Mail)
        else compound_files.attached(name, content)
        for name, content, _ in mail.attachments
    ]
    form = {0x1013: mail.html.encode()} if mail.html else {}
    return compound_files.message(
        {0x0037: mail.subject, 0x1000: mail.text}, form, attachments, header=header
    )


def check(data: bytes, mail: Mail) -> None:
    pages, wanted = texts(data), expected(mail)
    assert len(pages) == len(wanted) == count(data)
    for page, lines in zip(pages, wanted, strict=True):
        assert "other form" not in page
        at = 0
        for line in lines:
            assert page.count(line) >= 1, (line, page)
            if line != mail.subject:
                at = page.index(line, at)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sent_mail_comes_out_word_for_word(seed: int) -> None:
    dice = Dice(seed)
    mail = dice.mail()
    check(eml(mail, dice.random).as_bytes(), mail)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_message_of_outlook_comes_out_word_for_word(seed: int) -> None:
    mail = Dice(seed).mail()
    check(compound_files.compound(outlook(mail)), mail)
