"""Points between two steps at which a test injects a fault, usually a kill of the process.

They are always present and do nothing: no setting arms them, only a test in its own process.
"""

from collections.abc import Callable
from typing import Literal, get_args

Failpoint = Literal[
    "actor.acknowledged",  # acknowledged, but not yet released
    "actor.answered",  # the work is done, its result is not published
    "actor.buried",  # the dead letter is filed, the failure is not published
    "actor.published",  # the result is on the log, the event is not acknowledged
    "aggregator.published",  # the end of a batch is on the log, the aggregator has not recorded it
    "aggregator.submitted",  # the documents of a batch are on the log, it is not acknowledged
    "batcher.converted",  # a result of an engine batch is published, others are not
    "batcher.handed_over",  # the engine has a batch, that is not published
    "blobs.derived",  # a blob has its name and may not be durable, its caller has no result
    "blobs.put",  # a blob is durable, its caller has no result
    "blobs.written",  # a blob is written and does not have its name yet
    "deletion.published",  # a removal is on the log, its client has no response
    "edge.published",  # a submission is on the log, its client has no response
    "edge.stored",  # the bytes of a submission are stored, it is not published
    "engine.range_stored",  # a range of a long document is stored, the next one has not begun
    "erasing.erased",  # bytes of a removed document are gone, the row does not show it
    "ledger.applied",  # a group is written and not committed
    "ledger.committed",  # a group is committed, its callers have no result
    "moving.copied",  # a blob is copied into another store, and not proven
    "moving.proven",  # all blobs are proven in another store, none is removed
    "moving.removed",  # a blob is removed from the former store, others are not
    "objects.chunk",  # a chunk of an object is read, others are not
    "objects.unlisted",  # the metadata of an object is gone, its chunks are not
    "persister.announced",  # completions are published, the group is not acknowledged
    "persister.committed",  # a group is committed, its completions are not published
    "publisher.sending",  # an event is about to be sent
    "publisher.sent",  # an event is on the log, its publisher has no reply
    "rekeying.replaced",  # a database has another key, other files of it have not
    "rekeying.written",  # a database is written under another key and does not have its name yet
    "retention.moved",  # an original is in the archive, that is not published
    "snapshots.written",  # a snapshot is written and does not have its name yet
    "swapping.aside",  # the old database is set aside, the new one is not in its place
    "uploads.moved",  # an upload is moved to the originals, it is not published
]
POINTS: tuple[Failpoint, ...] = get_args(Failpoint)

_armed: dict[Failpoint, Callable[[], None]] = {}


def reach(point: Failpoint) -> None:
    """Run what a test has armed for a point."""
    if _armed and (act := _armed.get(point)) is not None:
        act()


def arm(point: Failpoint, act: Callable[[], None]) -> None:
    """Call ``act`` whenever a point is reached. For tests only."""
    _armed[point] = act
