"""The sections of a mail: its texts and its attachments, in the order in which they are pages."""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, field

from actors import sniffing
from actors.content_types import EML, MSG, OLD_OFFICE
from actors.engines import Unconvertible
from actors.text_sniffing import Claim
from ilios.engines.converters import registry
from ilios.engines.converters.archives import OLE_MAGIC
from ilios.engines.converters.mail import eml, failures, msg
from ilios.engines.converters.mail.message import (
    MAX_ATTACHED_BYTES,
    MAX_ATTACHMENTS,
    MAX_DEPTH,
    Attachment,
    Message,
)

MAX_NAME_CHARS = 200
MAIL_TYPES = {EML: eml.parse, MSG: msg.parse}


def parse(data: bytes) -> Message:
    """Return a mail of either format.

    :raises Unconvertible: it is damaged.
    """
    return msg.parse(data) if data.startswith(OLE_MAGIC) else eml.parse(data)


class Section(Struct, eq=False):
    """Pages of one part of a document: of the text of a mail, or of the file at ``path``.

    ``owner`` is the mail it is attached to. ``problems`` and ``left_out`` are the details of
    warnings on the first of the pages.
    """

    name: str
    owner: "Section | None" = None
    message: Message | None = None
    path: Path | None = None
    content_type: str = ""
    pages: int = 1
    problems: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    attached: list[str] = field(default_factory=list)


class Outline:
    """Sections of a mail, whose attachments are stored as files in ``folder``."""

    def __init__(self, folder: Path, heartbeat: Callable[[], None]) -> None:
        self.sections: list[Section] = []
        self._folder = folder
        self._heartbeat = heartbeat
        self._bytes = 0
        self._attachments = 0

    @property
    def pages(self) -> int:
        """How many pages all sections have."""
        return sum(section.pages for section in self.sections)

    def add(
        self, message: Message, name: str = "", depth: int = 0, owner: Section | None = None
    ) -> None:
        """Add a mail, and after it what is attached to it; nested no deeper than ``MAX_DEPTH``."""
        section = Section(
            name, owner, message, problems=message.problems, left_out=message.left_out
        )
        self.sections.append(section)
        for place, attachment in enumerate(message.attachments):
            self._heartbeat()
            self._attachments += 1
            if self._attachments > MAX_ATTACHMENTS:
                rest = len(message.attachments) - place
                section.left_out.append(f"{rest} attachments beyond the first {MAX_ATTACHMENTS}")
                break
            name = attachment.name[:MAX_NAME_CHARS].strip() or "an attachment"
            section.attached.append(name)
            if attachment.problem:
                section.problems.append(f"{name} ({attachment.problem})")
            elif attachment.message is not None:
                self.add(attachment.message, name, depth + 1, section)
            else:
                self._add_file(attachment, name, section, depth)

    def _add_file(self, attachment: Attachment, name: str, owner: Section, depth: int) -> None:
        data = attachment.read() if self._bytes <= MAX_ATTACHED_BYTES else b""
        self._bytes += len(data)
        if self._bytes > MAX_ATTACHED_BYTES:
            owner.left_out.append(f"{name}, as the attachments are too large together")
            return
        ends = data[: sniffing.SNIFF_LENGTH], data[-sniffing.SNIFF_LENGTH :]
        claim = Claim.of(name, attachment.content_type)
        content_type = sniffing.sniff(*ends, claim)
        if content_type is None or content_type in OLD_OFFICE:
            # LibreOffice is in reach of documents only that are nothing else.
            owner.problems.append(f"{name} ({sniffing.describe(*ends, claim)})")
        elif content_type in MAIL_TYPES:
            if depth + 1 >= MAX_DEPTH:
                owner.problems.append(f"{name} ({eml.TOO_DEEP.format(depth=MAX_DEPTH)})")
                return
            try:
                message = MAIL_TYPES[content_type](data, depth + 1)
            except Unconvertible as refusal:
                owner.problems.append(f"{name} ({refusal.reason})")
                return
            self.add(message, name, depth + 1, owner)
        else:
            self._store(data, content_type, name, owner)

    def _store(self, data: bytes, content_type: str, name: str, owner: Section) -> None:
        path = self._folder / str(self._attachments)
        path.write_bytes(data)
        try:
            with failures.unreadable_part():
                pages = registry.count_pages(path, content_type)
        except Unconvertible as refusal:
            path.unlink()
            owner.problems.append(f"{name} ({refusal.reason})")
            return
        self.sections.append(Section(name, owner, None, path, content_type, pages))
