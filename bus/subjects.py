"""Where on the log an event lies. Pure: words in, subjects out.

``ilios.document.<event>.<pNN>.<tenant>.<document_id>``, ``pNN`` being the priority p01..p10.
"""

from msgspec import Struct

from schemas.documents import AnyDocumentEvent
from schemas.ids import is_id, is_tenant

DOCUMENT = "ilios.document"
DEAD = "ilios.dead"

_TIERS = {f"p{priority:02d}": priority for priority in range(1, 11)}


class Address(Struct, frozen=True):
    """What a document's subject says, without looking into the event."""

    event: str
    priority: int
    tenant: str
    document_id: str


class NotAnAddress(ValueError):
    """The subject does not have the form of a document's event."""


def event_name(word: type[AnyDocumentEvent]) -> str:
    """``DocumentSubmitted`` -> ``submitted``: the tag's last word, without its version."""
    tag = word.__struct_config__.tag
    return str(tag).partition("/")[0].rpartition(".")[2]


def document_subject(event: AnyDocumentEvent) -> str:
    """Return the subject on which ``event`` is said."""
    name = event_name(type(event))
    return f"{DOCUMENT}.{name}.p{event.priority:02d}.{event.tenant}.{event.document_id}"


def every(word: type[AnyDocumentEvent], priority: int | None = None) -> str:
    """Return the filter for all events of one kind, or for those of one priority.

    The former also matches subjects that are malformed further on, so that somebody hears them.
    """
    tier = "" if priority is None else f"p{priority:02d}."
    return f"{DOCUMENT}.{event_name(word)}.{tier}>"


def one_document(event: str, tenant: str, document_id: str) -> str:
    """Return the filter for one kind of event (``*`` for any) of one document."""
    return f"{DOCUMENT}.{event}.*.{tenant}.{document_id}"


def parse(subject: str) -> Address:
    """Read a document's subject.

    :raises NotAnAddress: it is not ``ilios.document.<event>.<pNN>.<tenant>.<document_id>``.
    """
    tokens = subject.split(".")
    if len(tokens) != 6 or f"{tokens[0]}.{tokens[1]}" != DOCUMENT:
        raise NotAnAddress(f"{subject!r} is not ilios.document.<event>.<pNN>.<tenant>.<id>")
    priority = _TIERS.get(tokens[3])
    if priority is None:
        raise NotAnAddress(f"{tokens[3]!r} is not a priority token p01..p10")
    return Address(tokens[2], priority, tokens[4], tokens[5])


def dead_letter_subject(subject: str, sequence: int) -> str:
    """Return where a dead letter lies: by document where the subject names one, else by number."""
    try:
        address = parse(subject)
    except NotAnAddress:
        address = None
    if address and is_tenant(address.tenant) and is_id(address.document_id):
        return f"{DEAD}.{address.event}.{address.tenant}.{address.document_id}"
    return f"{DEAD}.unknown.unknown.{sequence}"
