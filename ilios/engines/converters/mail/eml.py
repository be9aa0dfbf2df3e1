"""Mails as they are sent: text, alternatives and attachments of a MIME message."""

import re

from ilios.engines.converters.mail import signed, tnef
from ilios.engines.converters.mail.charsets import decode
from ilios.engines.converters.mail.message import (
    BODY_CHARS,
    MAX_ATTACHMENTS,
    MAX_DEPTH,
    Attachment,
    Html,
    Message,
    Plain,
)
from ilios.engines.converters.mail.mime import Parser, Part

SHOWN = ("From", "Sender", "To", "Cc", "Bcc", "Reply-To", "Date")
"""Headers that programs show, in this order; the subject is the heading."""

SIGNATURES = (
    "application/pkcs7-signature",
    "application/x-pkcs7-signature",
    "application/pgp-signature",
    "application/pgp-keys",
)
"""Parts for programs only."""

WINMAIL = "winmail.dat"
OPAQUE = ("application/pkcs7-mime", "application/x-pkcs7-mime")
MESSAGES = ("message/rfc822", "message/global")
_MAILBOX = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From [^\r\n]{1,200} \d{4}\r?$", re.MULTILINE)
TEXTS = ("text/plain", "text/html")
ENCRYPTED = "the text, which is encrypted"
TOO_DEEP = "more than {depth} mails are attached to each other"
MORE_PARTS = "parts of the mail beyond the first thousand, or nested too deep"

_ENDINGS = {
    "application/pdf": ".pdf",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "text/calendar": ".ics",
    "text/csv": ".csv",
    "text/html": ".html",
}


def parse(data: bytes, depth: int = 0) -> Message:
    """Return a mail; ``depth`` counts the mails it is attached to."""
    starts = [found.start() for found in _MAILBOX.finditer(data)] if data[:5] == b"From " else []
    if len(starts) > 1 and depth == 0:
        return _mailbox(data, starts)
    return _parse(data, 0, len(data), depth)


def _mailbox(data: bytes, starts: list[int]) -> Message:
    """Return the mails of a mailbox (RFC 4155), attached to one that has nothing else."""
    box = Message()
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        if len(box.attachments) == MAX_ATTACHMENTS:
            box.left_out.append(f"{len(starts) - MAX_ATTACHMENTS} mails of the mailbox")
            break
        message = _parse(data, start, end, 1)
        box.attachments.append(Attachment(message.subject or "A mail", message=message))
    return box


def _parse(data: bytes, start: int, end: int, depth: int) -> Message:
    parser = Parser()
    message = _Reader(parser, depth).read(parser.parse(data, start, end))
    if parser.left_out:
        message.left_out.append(MORE_PARTS)
    return message


class _Reader:
    """Sorts the parts of one mail into texts and attachments."""

    def __init__(self, parser: Parser, depth: int) -> None:
        self._parser = parser
        self._depth = depth
        self._message = Message()
        self._related: dict[str, Part] = {}
        self._shown: set[str] = set()
        self._opened = 0

    def read(self, root: Part) -> Message:
        message = self._message
        message.subject = root.text("Subject")
        message.headers = [(name, value) for name in SHOWN if (value := root.text(name))]
        self._sort(root, top=True)
        for name, part in self._related.items():
            if name not in self._shown:
                self._attach(part)
        return message

    def _sort(self, part: Part, *, top: bool = False) -> None:
        """Sort a part, and those within it: nested no deeper than the parser allows."""
        kind = part.content_type
        if kind in SIGNATURES:
            return
        if kind in OPAQUE:
            self._open(part)
        elif kind in tnef.TYPES or part.file_name.lower() == WINMAIL:
            self._unpack(part)
        elif kind == "multipart/encrypted":
            self._message.problems.append(ENCRYPTED)
        elif part.parts:
            self._sort_parts(part, kind)
        elif kind in MESSAGES and not top:
            self._attach_message(part)
        elif kind == "message/external-body":
            name = part.file_name or "a part"
            self._message.problems.append(f"{name}, which is stored elsewhere")
        elif self._is_text(part, top=top):
            self._add_text(part)
        else:
            self._attach(part)

    def _sort_parts(self, part: Part, kind: str) -> None:
        if kind == "multipart/alternative":
            self._choose(part)
        elif kind == "multipart/related":
            self._sort_related(part)
        else:
            for one in part.parts:
                if kind == "multipart/digest" and "Content-Type" not in one.headers:
                    self._attach_message(one)  # what a digest has by default (RFC 2046, 5.1.5)
                else:
                    self._sort(one)

    def _is_text(self, part: Part, *, top: bool) -> bool:
        if top and part.headers.get_content_maintype() == "multipart":
            return True  # without any part: what is there is all there is
        kind = part.content_type
        if kind in ("message/delivery-status", "text/rfc822-headers", "message/feedback-report"):
            return True
        return kind in TEXTS and part.disposition != "attachment" and not part.file_name

    def _add_text(self, part: Part) -> None:
        text = decode(part.content()[: 4 * BODY_CHARS], part.charset)
        if len(text) > BODY_CHARS:
            text = text[:BODY_CHARS]
            self._message.left_out.append(f"text beyond {BODY_CHARS} characters")
        if not text.strip():
            return
        if part.content_type == "text/html":
            images = {name: one.content for name, one in self._related.items()}
            images = {name: read for name, read in images.items() if f"cid:{name}" in text}
            self._shown |= images.keys()
            self._message.bodies.append(Html(text, images))
        else:
            flowed = part.parameter("format").lower() == "flowed"
            self._message.bodies.append(Plain(text, flowed))

    def _choose(self, part: Part) -> None:
        """Sort the richest of several forms of one text, which is the last that can be read."""
        readable = [one for one in part.parts if _has_text(one)]
        html = [one for one in readable if _has_text(one, "text/html")]
        before = len(self._message.bodies)
        tried: list[Part] = []
        for one in (*html[-1:], *readable[::-1]):
            if one not in tried:
                self._sort(one)
                tried.append(one)
            if len(self._message.bodies) > before:
                break
        for other in part.parts:
            if not readable:
                self._sort(other)
            elif other not in tried:
                self._attach_files(other)

    def _attach_files(self, part: Part) -> None:
        """Attach the files among the parts of a form of the text that is not read."""
        if part.parts:
            for one in part.parts:
                self._attach_files(one)
        elif part.content_type == "text/calendar" or (
            part.file_name and part.content_type not in SIGNATURES
        ):
            self._attach(part)

    def _sort_related(self, part: Part) -> None:
        """Sort a page and the files it shows; those it does not show are attachments."""
        start = part.parameter("start").strip("<> ")
        root = next((one for one in part.parts if start and one.content_id == start), part.parts[0])
        for one in part.parts:
            if one is root:
                continue
            if one.content_id and not one.parts and one.content_type.startswith("image/"):
                self._related.setdefault(one.content_id, one)
        self._sort(root)
        for one in part.parts:
            if one is not root and self._related.get(one.content_id) is not one:
                self._sort(one)

    def _open(self, part: Part) -> None:
        """Read what an S/MIME part contains, where it is signed and not encrypted."""
        self._opened += 1
        inner = signed.signed_content(part.content()) if self._opened <= MAX_DEPTH else None
        if inner is None:
            self._message.problems.append(ENCRYPTED)
            return
        self._sort(self._parser.parse(inner))

    def _unpack(self, part: Part) -> None:
        """Add what Outlook has packed; its text only where the mail has none."""
        packed = tnef.parse(part.content(), self._depth)
        self._message.problems += packed.problems
        if not self._message.bodies:
            self._message.bodies += packed.bodies
        self._message.attachments += packed.attachments

    def _attach(self, part: Part) -> None:
        name = part.file_name or _made_name(part, len(self._message.attachments) + 1)
        self._message.attachments.append(Attachment(name, part.content_type, part.content))

    def _attach_message(self, part: Part) -> None:
        encoded = part.text("Content-Transfer-Encoding").lower() in ("base64", "quoted-printable")
        data, start, end = part.data, part.start, part.end
        if encoded:
            data = part.content()
            start, end = 0, len(data)
        name = part.file_name
        if self._depth + 1 >= MAX_DEPTH:
            problem = TOO_DEEP.format(depth=MAX_DEPTH)
            attached = Attachment(name or "a mail", part.content_type, problem=problem)
        else:
            root = self._parser.parse(data, start, end)
            message = _Reader(self._parser, self._depth + 1).read(root)
            attached = Attachment(name or message.subject, part.content_type, message=message)
        self._message.attachments.append(attached)


def _has_text(part: Part, kind: str = "") -> bool:
    """Whether a part, or one within it, is text of the kind; the parser bounds the depth."""
    if part.parts:
        return any(_has_text(one, kind) for one in part.parts)
    return part.content_type == kind if kind else part.content_type in TEXTS


def _made_name(part: Part, number: int) -> str:
    """Return a name for an attachment without one."""
    ending = _ENDINGS.get(part.content_type, "")
    kind = part.content_type.partition("/")[0]
    return (
        f"{kind if kind in ('image', 'text', 'audio', 'video') else 'attachment'}-{number}{ending}"
    )
