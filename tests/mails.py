"""Mails for tests."""

from email.message import EmailMessage
from email.policy import SMTP

from tests import documents

HTML = "<html><body><h2>Offer</h2><p>Dear <b>Anna</b>,</p></body></html>"


def mail(subject: str = "A subject", text: str = "Dear Anna,\n\nsome words.\n") -> EmailMessage:
    """Return a mail with headers and a plain text."""
    made = EmailMessage(policy=SMTP)
    made["From"] = "Bert Beispiel <bert@example.org>"
    made["To"] = "Anna Muster <anna@example.org>"
    made["Date"] = "Sat, 28 Nov 2026 11:38:10 +0000"
    if subject:
        made["Subject"] = subject
    made.set_content(text)
    return made


def attach(
    made: EmailMessage, data: bytes, name: str, kind: str = "application/octet-stream"
) -> None:
    """Attach a file."""
    main, _, sub = kind.partition("/")
    made.add_attachment(data, maintype=main, subtype=sub, filename=name)


def with_attachments() -> bytes:
    """Return a mail with a DOCX, a slide deck, a mail with a PDF, and a file nobody can read."""
    made = mail("Papers")
    attach(made, documents.docx(documents.paragraph("Words of the report.")), "report.docx")
    attach(made, documents.pptx({"First": ["one"], "Second": ["two"]}), "slides.pptx")
    inner = mail("Inner mail", "Words inside.")
    attach(inner, documents.pdf("Words of the PDF"), "letter.pdf", documents.PDF)
    made.add_attachment(inner)
    attach(made, bytes(range(256)), "unknown.bin")
    return made.as_bytes()
