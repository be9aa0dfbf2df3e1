"""Everything that can be said on the log."""

from .batches import AnyBatchEvent
from .documents import AnyDocumentEvent

AnyEvent = AnyDocumentEvent | AnyBatchEvent
