"""Places between two steps at which a test lets the worst happen: as a rule, kills the process.

They are compiled in and do nothing: no setting arms them, only a test does, in its own process.
"""

from collections.abc import Callable
from typing import Literal, get_args

Failpoint = Literal[
    "actor.acknowledged",  # answered and acknowledged, but still held as if it were not
    "actor.answered",  # the work is done, nothing was said of it
    "actor.buried",  # the dead letter is filed, nothing was said of the failure
    "actor.said",  # the answer is on the log, the event is not acknowledged
    "aggregator.said",  # the end of a batch is on the log, the aggregator has not noted it
    "aggregator.submitted",  # the documents of a batch are on the log, their batch is not heard yet
    "batcher.converted",  # a result of an engine's batch is said, its batch is not done with
    "batcher.handed_over",  # the engine has a batch, nothing was said of it
    "blobs.put",  # a blob is durable, nobody has been told
    "blobs.written",  # a blob is written and does not have its name yet
    "deletion.said",  # a removal is on the log, its client has not heard of it
    "edge.said",  # a submission is on the log, its client has not heard of it
    "edge.stored",  # the bytes of a submission are stored, nothing was said of it
    "erasing.erased",  # bytes of a removed document are gone, that is not noted
    "ledger.applied",  # a group is written and not committed
    "ledger.committed",  # a group is committed, nobody has been told
    "persister.announced",  # completions are announced, the group is not acknowledged
    "persister.committed",  # a group is committed, its completions are not announced
    "publisher.sending",  # an event is about to be said
    "publisher.sent",  # an event is on the log, whoever said it has not been told
    "retention.moved",  # an original lies in the archive, nothing was said of it
    "snapshots.written",  # a snapshot is written and does not have its name yet
    "swapping.aside",  # the old database is set aside, the new one is not in its place
    "uploads.moved",  # an upload lies where originals do, nothing was said of it
]
POINTS: tuple[Failpoint, ...] = get_args(Failpoint)

_armed: dict[Failpoint, Callable[[], None]] = {}


def reach(point: Failpoint) -> None:
    """Say that a step is done and the next is not begun."""
    if _armed and (act := _armed.get(point)) is not None:
        act()


def arm(point: Failpoint, act: Callable[[], None]) -> None:
    """Have something done whenever a point is reached. For tests."""
    _armed[point] = act
