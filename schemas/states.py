"""States of documents and batches, and the sets of them that matter. Defined here only."""

from typing import Literal

DocumentState = Literal[
    "pending", "processing", "completed", "failed", "archived", "cancelled", "deleted"
]
BatchState = Literal["pending", "processing", "completed", "failed"]

UNFINISHED_STATES: tuple[DocumentState, ...] = ("pending", "processing")
"""Of documents that are still to be converted."""
EXPIRABLE_STATES: tuple[DocumentState, ...] = ("completed", "failed", "archived")
"""Of documents that have ended, until their retention is over. A failed one may be requeued."""
ARCHIVABLE_STATES: tuple[DocumentState, ...] = ("completed", "failed")
"""Of documents that are archived when their retention is over, if the service archives."""
READABLE_STATES: tuple[DocumentState, ...] = ("completed", "archived")
"""Of documents that have Markdown, except for archived ones whose conversion failed."""
REMOVED_STATES: tuple[DocumentState, ...] = ("cancelled", "deleted")
"""Of documents whose bytes are erased or about to be."""
TERMINAL_STATES: tuple[DocumentState, ...] = EXPIRABLE_STATES + REMOVED_STATES
"""Of documents that have ended. Only a requeue takes a failed one back."""
