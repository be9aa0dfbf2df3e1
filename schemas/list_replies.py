"""Bodies of JSON replies of lists."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from .replies import BatchStatus, DocumentStatus

NextCursor = Annotated[
    str,
    Meta(description="Give it as `cursor` to get what follows; left out at the end of the list."),
]


class DocumentList(Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of the list of documents; it may be short, or empty, and still have a ``next``."""

    documents: list[DocumentStatus]
    next: NextCursor | UnsetType = UNSET


class BatchList(Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of the list of batches; it may be short, or empty, and still have a ``next``."""

    batches: list[BatchStatus]
    next: NextCursor | UnsetType = UNSET
