"""Where on the log an event lies. Pure: words in, subjects out.

``ilios.document.<event>.<pNN>.<tenant>.<document_id>``, ``pNN`` being the priority p01..p10.
"""

from msgspec import Struct

from schemas.documents import AnyDocumentEvent

DOCUMENT = "ilios.document"
DEAD = "ilios.dead"


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
    tier = tokens[3]
    if len(tier) != 3 or tier[0] != "p" or not tier[1:].isdecimal() or not 1 <= int(tier[1:]) <= 10:
        raise NotAnAddress(f"{tier!r} is not a priority token p01..p10")
    return Address(tokens[2], int(tier[1:]), tokens[4], tokens[5])


def dead_letter_subject(actor: str, subject: str, sequence: int) -> str:
    """Return where a dead letter lies: by document where the subject names one, else by number."""
    try:
        address = parse(subject)
    except NotAnAddress:
        return f"{DEAD}.{actor}.unknown.{sequence}"
    return f"{DEAD}.{actor}.{address.tenant}.{address.document_id}"
