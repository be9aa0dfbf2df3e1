"""Events of batches and of their documents, for tests."""

from typing import TypeVar

import msgspec

from schemas.batches import BatchCompleted, BatchDocument, BatchSubmitted, document_id
from schemas.documents import DocumentEvent, Inline
from tests import events

_Event = TypeVar("_Event", bound=DocumentEvent)


def id_of(number: int = 1) -> str:
    """Return the id of the ``number``-th batch."""
    return f"batch{number:019d}"


def submitted(
    number: int = 1, *, documents: int = 2, tenant: str = "default", priority: int = 5
) -> BatchSubmitted:
    return BatchSubmitted(
        batch_id=id_of(number),
        tenant=tenant,
        priority=priority,
        documents=tuple(
            BatchDocument(
                document_id=document_id(id_of(number), place),
                source=Inline(f"document {place}".encode()),
                file_name=f"{place}.txt",
            )
            for place in range(1, documents + 1)
        ),
        submitted_at=events.SUBMITTED_AT,
    )


def completed(number: int = 1, *, total: int = 2, failed: int = 0) -> BatchCompleted:
    return BatchCompleted(
        batch_id=id_of(number), total=total, completed=total - failed, failed=failed
    )


def of(event: _Event, position: int, number: int = 1, tenant: str = "default") -> _Event:
    """Return ``event`` for the ``place``-th document of a batch."""
    named = document_id(id_of(number), position)
    return msgspec.structs.replace(event, document_id=named, tenant=tenant)
