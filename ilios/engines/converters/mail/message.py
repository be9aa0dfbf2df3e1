"""A mail as every format of mail has it."""

from collections.abc import Callable

from msgspec import Struct, field

MAX_DEPTH = 8
"""Mails attached to each other; a thread of forwarded mails seldom has more than three."""

MAX_ATTACHMENTS = 500
"""Attachments of a mail and of those attached to it, converted one after another."""

MAX_ATTACHED_BYTES = 256 * 1024 * 1024
"""Bytes of all attachments, decoded: as many as a child may write into one file."""

BODY_CHARS = 8_000_000
"""Characters of the text of one mail; more would be no text of a person."""


class Attachment(Struct):
    """A file or a mail that is attached. ``problem`` is why neither can be read, if so."""

    name: str
    content_type: str = ""
    read: Callable[[], bytes] = bytes
    message: "Message | None" = None
    problem: str = ""


class Html(Struct, frozen=True):
    """A text as an HTML page, with the images it shows by their content ids."""

    source: str
    images: dict[str, Callable[[], bytes]] = {}


class Rtf(Struct, frozen=True):
    """A text in RTF."""

    source: bytes


class Plain(Struct, frozen=True):
    """A text without any markup; ``flowed`` has soft line ends (RFC 3676)."""

    source: str
    flowed: bool = False


Body = Html | Rtf | Plain


class Message(Struct):
    """A mail. ``headers`` are names and values as they are shown, in their order.

    ``problems`` are sentences' details about what is not readable: see ``part_unreadable``.
    ``left_out`` are those about what there is too much of.
    """

    subject: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[Body] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
