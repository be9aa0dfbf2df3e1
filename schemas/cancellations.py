"""Receipts of cancelled batches."""

from msgspec import Struct

from .replies import BatchProgress
from .states import BatchState


class BatchCancellation(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is left of a batch after its cancellation: its documents that had ended before.

    ``cancelled`` counts its documents that are cancelled, by this request or before; in
    ``progress`` they are among those that failed. ``progress`` may be a moment behind.
    """

    batch_id: str
    status: BatchState
    cancelled: int
    progress: BatchProgress
