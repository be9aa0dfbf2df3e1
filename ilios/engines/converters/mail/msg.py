"""Messages as Outlook stores them."""

from actors.engines import Unconvertible
from ilios.engines.converters.mail.message import Message


def parse(data: bytes, depth: int = 0) -> Message:
    """Return a mail."""
    del data, depth
    raise Unconvertible(
        "unsupported_type", "Messages of Outlook (.msg) cannot be read; save this one as EML."
    )
