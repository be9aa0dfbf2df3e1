"""All types of events on the log, and those of the service about itself."""

from msgspec import Struct

from .batches import AnyBatchEvent
from .documents import AnyDocumentEvent
from .imports import AnyImportEvent

AnyEvent = AnyDocumentEvent | AnyBatchEvent | AnyImportEvent


class JanitorSwept(Struct, frozen=True, kw_only=True, tag_field="type", tag="janitor.swept/1"):
    """One pass of the janitor that found something to do.

    The counts are documents or blobs, and objects on the bus. ``held`` is the reason why nothing
    was allowed to expire.
    """

    archived: int = 0
    deleted: int = 0
    erased: int = 0
    redriven: int = 0
    given_up: int = 0
    orphans: int = 0
    temporary: int = 0
    objects: int = 0
    held: str | None = None
    seconds: float = 0.0


class JanitorProbed(Struct, frozen=True, kw_only=True, tag_field="type", tag="janitor.probed/1"):
    """A publish whose only purpose is its acknowledgement: the log can be written."""
