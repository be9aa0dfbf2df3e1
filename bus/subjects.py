"""Subjects of events, and the identity of the stream that stores them.

``ilios.document.<event>.<pNN>.<tenant>.<document_id>``, ``pNN`` being the priority p01..p10;
``ilios.batch.<event>.<tenant>.<batch_id>``. Events about pages are on no stream:
``ilios.page.<tenant>.<document_id>``; so are requests, ``ilios.pages.<tenant>.<document_id>``.
"""

from msgspec import Struct

from schemas.batches import BatchEvent
from schemas.documents import DocumentEvent
from schemas.ids import is_id, is_tenant

DOCUMENT = "ilios.document"
BATCH = "ilios.batch"
PAGE = "ilios.page"
DRAFTS = "ilios.pages"
JANITOR = "ilios.janitor"
DEAD_LETTER = "ilios.dead"
API = "ilios.api"
"""Requests, ``ilios.api.<operation>.<tenant>``; the account of a tenant imports them without it."""

_PRIORITY_TOKENS = {f"p{priority:02d}": priority for priority in range(1, 11)}


class StreamIdentity(Struct, frozen=True):
    """Identity of a log: a stream created again with the same name is another log.

    ``created`` is the RFC 3339 text of the server; ``last_sequence`` that of the newest event.
    """

    name: str
    created: str
    last_sequence: int


class DocumentSubject(Struct, frozen=True):
    """The parsed subject of an event about a document."""

    event: str
    priority: int
    tenant: str
    document_id: str


class MalformedSubject(ValueError):
    """The subject does not have the form of an event."""


class BatchSubject(Struct, frozen=True):
    """The parsed subject of an event about a batch."""

    event: str
    tenant: str
    batch_id: str


def event_name(event_type: type[Struct]) -> str:
    """Return the name in subjects of a type: ``submitted`` for ``DocumentSubmitted``."""
    tag = event_type.__struct_config__.tag
    return str(tag).partition("/")[0].rpartition(".")[2]


def event_of(subject: str) -> str:
    """Return the kind of event in the subject of a document, as ``event_name`` has it."""
    return subject.split(".", 3)[2]


def subject_for(event: DocumentEvent | BatchEvent) -> str:
    """Return the subject of an event."""
    name = event_name(type(event))
    if isinstance(event, BatchEvent):
        return f"{BATCH}.{name}.{event.tenant}.{event.batch_id}"
    return f"{DOCUMENT}.{name}.p{event.priority:02d}.{event.tenant}.{event.document_id}"


def filter_for(event_type: type[Struct], priority: int | None = None) -> str:
    """Return the filter for all events of one kind, or for those about documents of a priority.

    Without a priority it also matches malformed subjects, so that they become dead letters.
    """
    if issubclass(event_type, BatchEvent):
        return f"{BATCH}.{event_name(event_type)}.>"
    priority_token = "" if priority is None else f"p{priority:02d}."
    return f"{DOCUMENT}.{event_name(event_type)}.{priority_token}>"


def same_event_filter(event: DocumentEvent | BatchEvent) -> str:
    """Return the filter for events of the same kind about the same document, of any priority."""
    if isinstance(event, BatchEvent):
        return subject_for(event)
    return document_filter(event_name(type(event)), event.tenant, event.document_id)


def document_filter(event: str, tenant: str, document_id: str) -> str:
    """Return the filter for one kind of event (``*`` for any) of one document."""
    return f"{DOCUMENT}.{event}.*.{tenant}.{document_id}"


def tenant_filter(event: str, tenant: str) -> str:
    """Return the filter for one kind of event of all documents of a tenant."""
    return f"{DOCUMENT}.{event}.*.{tenant}.*"


def any_tenant_filter(event: str) -> str:
    """Return the filter for one kind of event of all documents whose subject is well formed."""
    return f"{DOCUMENT}.{event}.*.*.*"


def batch_subject(event: str, tenant: str, batch_id: str) -> str:
    """Return the subject of one kind of event of one batch."""
    return f"{BATCH}.{event}.{tenant}.{batch_id}"


def page_subject(tenant: str, document_id: str) -> str:
    """Return the subject of events about the pages of one document, or ``*`` for any."""
    return f"{PAGE}.{tenant}.{document_id}"


def drafts_subject(tenant: str, document_id: str) -> str:
    """Return the subject of requests for the pages of a document that is still converted."""
    return f"{DRAFTS}.{tenant}.{document_id}"


def parse_batch(subject: str) -> BatchSubject:
    """Parse the subject of an event about a batch.

    :raises MalformedSubject: it is not ``ilios.batch.<event>.<tenant>.<batch_id>``.
    """
    tokens = subject.split(".")
    if len(tokens) != 5 or f"{tokens[0]}.{tokens[1]}" != BATCH:
        raise MalformedSubject(f"{subject!r} is not ilios.batch.<event>.<tenant>.<id>")
    return BatchSubject(tokens[2], tokens[3], tokens[4])


def parse_document(subject: str) -> DocumentSubject:
    """Parse the subject of an event about a document.

    :raises MalformedSubject: it is not ``ilios.document.<event>.<pNN>.<tenant>.<document_id>``.
    """
    tokens = subject.split(".")
    if len(tokens) != 6 or f"{tokens[0]}.{tokens[1]}" != DOCUMENT:
        raise MalformedSubject(f"{subject!r} is not ilios.document.<event>.<pNN>.<tenant>.<id>")
    priority = _PRIORITY_TOKENS.get(tokens[3])
    if priority is None:
        raise MalformedSubject(f"{tokens[3]!r} is not a priority token p01..p10")
    return DocumentSubject(tokens[2], priority, tokens[4], tokens[5])


def dead_letter_subject(subject: str, sequence: int) -> str:
    """Return the subject of a dead letter: by event, tenant and id, else by sequence.

    For a batch the event is ``batch-<event>``.
    """
    try:
        if subject.startswith(f"{BATCH}."):
            batch = parse_batch(subject)
            event, tenant, name = f"batch-{batch.event}", batch.tenant, batch.batch_id
        else:
            address = parse_document(subject)
            event, tenant, name = address.event, address.tenant, address.document_id
    except MalformedSubject:
        return f"{DEAD_LETTER}.unknown.unknown.{sequence}"
    if is_tenant(tenant) and is_id(name):
        return f"{DEAD_LETTER}.{event}.{tenant}.{name}"
    return f"{DEAD_LETTER}.unknown.unknown.{sequence}"
