"""Batches for tests, and what is said of their documents."""

from typing import TypeVar

import msgspec

from schemas.batches import BatchCompleted, BatchDocument, BatchSubmitted, document_id
from schemas.documents import DocumentEvent, Inline
from tests import events

_Word = TypeVar("_Word", bound=DocumentEvent)


def name(number: int = 1) -> str:
    """Return the id of the ``number``-th batch."""
    return f"batch{number:019d}"


def submitted(
    number: int = 1, *, documents: int = 2, tenant: str = "default", priority: int = 5
) -> BatchSubmitted:
    return BatchSubmitted(
        batch_id=name(number),
        tenant=tenant,
        priority=priority,
        documents=tuple(
            BatchDocument(
                document_id=document_id(name(number), place),
                source=Inline(f"document {place}".encode()),
                file_name=f"{place}.txt",
            )
            for place in range(1, documents + 1)
        ),
        submitted_at=events.SUBMITTED_AT,
    )


def completed(number: int = 1, *, total: int = 2, failed: int = 0) -> BatchCompleted:
    return BatchCompleted(
        batch_id=name(number), total=total, completed=total - failed, failed=failed
    )


def of(event: _Word, place: int, number: int = 1, tenant: str = "default") -> _Word:
    """Return ``event`` as it is said of the ``place``-th document of a batch."""
    named = document_id(name(number), place)
    return msgspec.structs.replace(event, document_id=named, tenant=tenant)
