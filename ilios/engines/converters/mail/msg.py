"""Messages as Outlook stores them ([MS-OXMSG])."""

from collections.abc import Callable

from actors.engines import Unconvertible
from ilios.engines.converters.mail import compressed_rtf, eml, encapsulated
from ilios.engines.converters.mail.charsets import decode
from ilios.engines.converters.mail.compound import CompoundFile, Damaged, Storage
from ilios.engines.converters.mail.mapi import Properties
from ilios.engines.converters.mail.message import (
    BODY_CHARS,
    MAX_ATTACHMENTS,
    MAX_DEPTH,
    Attachment,
    Html,
    Message,
    Plain,
    Rtf,
)

RECIPIENT, ATTACHMENT = "__recip_version1.0_#", "__attach_version1.0_#"
EMBEDDED = "__substg1.0_3701000D"
TOP_HEADER, EMBEDDED_HEADER, OTHER_HEADER = 32, 24, 8
"""Bytes before the properties of a message, of one within another, and of what belongs to one."""

MAX_RECIPIENTS = 1_000
BODY_BYTES = 2 * BODY_CHARS
SUBJECT, BODY, HTML, RTF, CLASS = 0x0037, 0x1000, 0x1013, 0x1009, 0x001A
SENDERS = ((0x0042, 0x5D02), (0x0042, 0x0065), (0x0C1A, 0x5D01), (0x0C1A, 0x0C1F))
"""Name and address of who a message is from, in the order in which they are looked for."""

SENT, DELIVERED = 0x0039, 0x0E06
NAME, SMTP, ADDRESS, RECIPIENT_KIND = 0x3001, 0x39FE, 0x3003, 0x0C15
KINDS = ((1, "To", 0x0E04), (2, "Cc", 0x0E03), (3, "Bcc", 0x0E02))
LONG_NAME, SHORT_NAME, DATA, METHOD = 0x3707, 0x3704, 0x3701, 0x3705
MIME_TYPE, CONTENT_ID = 0x370E, 0x3712
AS_OBJECT = 6
SMIME_CLASS = "ipm.note.smime"


def parse(data: bytes, depth: int = 0) -> Message:
    """Return a mail; ``depth`` counts the mails it is attached to.

    :raises Unconvertible: it is damaged.
    """
    try:
        file = CompoundFile(data)
        return _Reader(file, depth).read(file.root, TOP_HEADER)
    except Damaged as damage:
        raise Unconvertible("corrupt", f"The MSG file is damaged: {damage}.") from damage


class _Reader:
    def __init__(self, file: CompoundFile, depth: int) -> None:
        self._file = file
        self._depth = depth

    def read(self, storage: Storage, header: int, encoding: str = "") -> Message:
        found = Properties(self._file, storage, header, encoding)
        message = Message(subject=found.text(SUBJECT))
        message.headers = self._headers(found)
        names = sorted(name for name in storage.storages if name.startswith(ATTACHMENT))
        attachments = [
            Properties(self._file, storage.storages[name], OTHER_HEADER, found.encoding)
            for name in names[: MAX_ATTACHMENTS + 1]
        ]
        kind = found.text(CLASS).lower()
        if kind.startswith(SMIME_CLASS) and attachments:
            self._open(message, attachments[0])
            return message
        shown = self._add_body(message, found, attachments)
        for one in attachments:
            if one.text(CONTENT_ID) not in shown or not one.text(CONTENT_ID):
                message.attachments.append(self._attachment(one))
        return message

    def _headers(self, found: Properties) -> list[tuple[str, str]]:
        headers = []
        for name_id, address_id in SENDERS:
            if sender := _person(found.text(name_id), found.text(address_id)):
                headers.append(("From", sender))
                break
        people: dict[int, list[str]] = {}
        recipients = [
            one
            for name, one in sorted(found.storage.storages.items())
            if name.startswith(RECIPIENT)
        ]
        for storage in recipients[:MAX_RECIPIENTS]:
            one = Properties(self._file, storage, OTHER_HEADER, found.encoding)
            address = one.text(SMTP) or one.text(ADDRESS)
            person = _person(one.text(NAME), address)
            people.setdefault(one.integer(RECIPIENT_KIND) & 0xF or 1, []).append(person)
        for kind, name, shown_id in KINDS:
            if value := ", ".join(filter(None, people.get(kind, []))) or found.text(shown_id):
                headers.append((name, value))
        if date := found.time(SENT) or found.time(DELIVERED):
            headers.append(("Date", date))
        return headers

    def _add_body(
        self, message: Message, found: Properties, attachments: list[Properties]
    ) -> set[str]:
        """Add the richest form of the text; return the ids of the images in it."""
        html = found.binary(HTML)
        source = found.text(HTML, BODY_BYTES) if html is None else decode(html, found.encoding)
        rtf = b""
        if not source.strip() and (packed := found.binary(RTF)):
            rtf = compressed_rtf.unpack(packed)
            if encapsulated.is_html(rtf):
                source, rtf = encapsulated.html(rtf), b""
        text = found.text(BODY, BODY_BYTES)
        if source.strip():
            images = {
                name: _reader(one)
                for one in attachments
                if (name := one.text(CONTENT_ID)) and f"cid:{name}" in source
            }
            message.bodies.append(Html(source[:BODY_CHARS], images))
            return set(images)
        if rtf and not text.strip():
            message.bodies.append(Rtf(rtf))
        elif text.strip():
            message.bodies.append(Plain(text[:BODY_CHARS]))
        return set()

    def _attachment(self, found: Properties) -> Attachment:
        name = found.text(LONG_NAME) or found.text(SHORT_NAME) or found.text(NAME)
        kind = found.text(MIME_TYPE)
        storage = found.storage.storages.get(EMBEDDED)
        method = found.integer(METHOD)
        if storage is not None and method != AS_OBJECT:
            if self._depth + 1 >= MAX_DEPTH:
                return Attachment(name, problem=eml.TOO_DEEP.format(depth=MAX_DEPTH))
            reader = _Reader(self._file, self._depth + 1)
            message = reader.read(storage, EMBEDDED_HEADER, found.encoding)
            return Attachment(name or message.subject, kind, message=message)
        if found.binary(DATA) is None:
            problem = "an embedded object" if storage is not None else "it is stored elsewhere"
            return Attachment(name, kind, problem=problem)
        return Attachment(name, kind, _reader(found))

    def _open(self, message: Message, attachment: Properties) -> None:
        """Read a signed message, of which Outlook has the MIME form as an attachment."""
        data = attachment.binary(DATA) or b""
        kind = attachment.text(MIME_TYPE) or "application/pkcs7-mime"
        if not data.lstrip().lower().startswith((b"content-", b"mime-")):
            data = b"Content-Type: " + kind.encode("ascii", "replace") + b"\r\n\r\n" + data
        inner = eml.parse(data, self._depth)
        message.bodies += inner.bodies
        message.attachments += inner.attachments
        message.problems += inner.problems
        message.left_out += inner.left_out


def _reader(found: Properties) -> Callable[[], bytes]:
    return lambda: found.binary(DATA) or b""


def _person(name: str, address: str) -> str:
    """Return name and address as mails have them; addresses of Exchange are of no use elsewhere."""
    name = name.strip("'\" ")
    if "@" not in address or address.lower() == name.lower():
        return name or (address if "@" in address else "")
    return f"{name} <{address}>" if name else address
