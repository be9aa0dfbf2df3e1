"""Lists of documents and batches: what is asked for, and the page that is found."""

from datetime import datetime
from typing import Generic, Literal, TypeVar

from msgspec import Struct

from .states import BatchState, DocumentState

Order = Literal["asc", "desc"]
"""By the time of submission."""

_T = TypeVar("_T")


class Place(Struct, frozen=True, array_like=True):
    """A place in a list: the time of submission in milliseconds, and the id."""

    at: int
    id: str


class ListRequest(Struct, frozen=True, kw_only=True):
    """What is the same in every list; ``after`` is the place where the page before it ended."""

    tenant: str
    order: Order = "desc"
    since: datetime | None = None
    until: datetime | None = None
    reference: str | None = None
    limit: int
    after: Place | None = None


class DocumentListRequest(ListRequest, frozen=True, kw_only=True):
    """Documents in one of ``states``; ``name`` is a part of their name."""

    states: tuple[DocumentState, ...]
    name: str | None = None
    batch_id: str | None = None


class BatchListRequest(ListRequest, frozen=True, kw_only=True):
    """Batches in one of ``states``, or in any if there are none."""

    states: tuple[BatchState, ...] = ()


class Page(Struct, Generic[_T], frozen=True):
    """Items in the order of the list; ``next`` is where it goes on, None at its end.

    A page may have fewer items than its limit, or none, and still not be the last.
    """

    items: list[_T]
    next: Place | None
