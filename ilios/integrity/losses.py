"""What the log has lost, remembered in a file of the data directory until an operator accepts it.

The file is for the service alone to write; who accepts leaves another one beside it, which the
service takes notice of within seconds, or when it starts.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
import structlog
from msgspec import Struct, structs

from ilios import secrets_file

LOSSES_FILE = "log-losses.json"
ACCEPTED_FILE = "log-losses.accepted"
MAX_UPLOAD_TIME = timedelta(hours=24)  # at most, between storing an original and submitting it
MAX_CLOCK_SKEW = timedelta(minutes=10)  # ours and that of a store, at most
CHECKPOINT_EVERY = timedelta(hours=1)
CHECKPOINTS_KEPT_FOR = timedelta(days=15)
CLOCK_TOLERANCE = timedelta(minutes=1)  # clocks are, all the time, by little

Kind = Literal["end", "hole", "beginning", "unread", "database", "other", "damage", "unwritten"]

_DESCRIPTIONS = {
    "end": "its end with {events} is gone, which the database had been written from",
    "beginning": "its beginning with {events} is gone before its time",
    "unread": "{events} went before they were read into the database",
    "database": "{events} are no longer on it, and the database is new and does not have what they "
    "changed: documents of before are unknown here",
    "other": "it is not the one the database was written from, of which {events} were read",
    "unwritten": "{events} could not be written on a full volume and was refused",
    "damage": "nats-server has found damage in it and may have dropped what came last",
}

log = structlog.get_logger("log")


class Loss(Struct, frozen=True, kw_only=True):
    """Events that are gone, and how that was noticed (``kind``).

    They are ``first`` to ``last`` of the log that was ``created`` then. Originals that were stored
    from ``since`` (or ever) to ``until`` may have been submitted by one of them. ``originals``
    are keys of those that no document owns, None until they were looked for.
    """

    kind: Kind
    created: str
    first: int
    last: int
    found_at: datetime
    since: datetime | None
    until: datetime
    originals: tuple[str, ...] | None = None
    accepted_at: datetime | None = None

    @property
    def identity(self) -> tuple[str, str, int, int]:
        """What makes it another than others."""
        return (self.kind, self.created, self.first, self.last)

    def may_affect(self, stored_at: datetime) -> bool:
        """Whether what was stored then may have been submitted by one of its events."""
        if self.since is not None and stored_at < self.since - MAX_UPLOAD_TIME:
            return False
        return stored_at <= self.until + MAX_CLOCK_SKEW


class Checkpoint(Struct, frozen=True):
    """How far the log had come at some time: what came later is younger than that."""

    created: str
    last: int
    at: datetime

    def is_from_future(self, now: datetime) -> bool:
        """Whether the clock was set back since, so that ages cannot be told by this mark."""
        return self.at > now + CLOCK_TOLERANCE


class LossesFile(Struct, frozen=True):
    """What the file holds; ``waiting`` are documents that wait for events that are gone."""

    losses: tuple[Loss, ...] = ()
    marks: tuple[Checkpoint, ...] = ()
    waiting: tuple[str, ...] = ()


class LossStore:
    """The losses of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / LOSSES_FILE
        self._accepted_path = data_dir / ACCEPTED_FILE
        self._file = read(data_dir)

    @property
    def unaccepted(self) -> tuple[Loss, ...]:
        """Those that nobody has accepted, the oldest first."""
        return tuple(loss for loss in self._file.losses if loss.accepted_at is None)

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """How far the log had come, the oldest first."""
        return self._file.marks

    @property
    def waiting(self) -> tuple[str, ...]:
        """Documents that wait for events that are gone."""
        return self._file.waiting

    def may_affect(self, stored_at: datetime) -> bool:
        """Whether what was stored then may belong to a loss, accepted ones too."""
        return any(loss.may_affect(stored_at) for loss in self._file.losses)

    def holes(self, created: str) -> list[tuple[int, int]]:
        """Return the holes of a log that were noticed."""
        kinds = ("hole", "unread", "beginning", "unwritten")
        return [
            (loss.first, loss.last)
            for loss in self._file.losses
            if loss.kind in kinds and loss.created == created
        ]

    def is_unwritten(self, created: str, gone: tuple[int, int]) -> bool:
        """Whether these events of a log are one that was refused on a full volume."""
        wanted = ("unwritten", created, *gone)
        return any(loss.identity == wanted for loss in self._file.losses)

    def covers_end(self, created: str, gone: tuple[int, int]) -> bool:
        """Whether a loss of the end that nobody has accepted covers these events of a log."""
        return any(
            loss.first <= gone[0] and gone[1] <= loss.last
            for loss in self.unaccepted
            if loss.kind == "end" and loss.created == created
        )

    def has_any(self, created: str) -> bool:
        """Whether a log has lost anything that is remembered, accepted or not."""
        return any(loss.created == created for loss in self._file.losses)

    def add(self, found: Iterable[Loss]) -> None:
        """Remember losses that are not remembered yet, accepted or not."""
        for loss in found:
            if loss.identity in [one.identity for one in self._file.losses]:
                continue
            self._write(structs.replace(self._file, losses=(*self._file.losses, loss)))
            note, what = log.error, "the log has lost events"
            if loss.kind == "unwritten":
                note, what = log.warning, "an event could not be written and was refused"
            note(what, how=loss.kind, first=loss.first, last=loss.last, log=loss.created)

    def replace(self, before: Loss, after: Loss | None) -> None:
        """Put another account of a loss in its place, or nothing."""
        losses = (after if loss == before else loss for loss in self._file.losses)
        kept = tuple(loss for loss in losses if loss is not None)
        self._write(structs.replace(self._file, losses=kept))

    def set_waiting(self, waiting: tuple[str, ...]) -> None:
        """Remember which documents wait for events that are gone."""
        if waiting != self._file.waiting:
            self._write(structs.replace(self._file, waiting=waiting))

    def add_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Remember how far the log is, once an hour; marks that are beyond it by now are wrong.

        So are all that were made by a clock that was ahead.
        """
        kept = [
            one
            for one in self._file.marks
            if one.created == checkpoint.created
            and one.last <= checkpoint.last
            and abs(checkpoint.at - one.at) < CHECKPOINTS_KEPT_FOR
        ]
        if kept and kept[-1].is_from_future(checkpoint.at):
            kept = []
        if not kept or abs(checkpoint.at - kept[-1].at) >= CHECKPOINT_EVERY:
            kept.append(checkpoint)
        if tuple(kept) != self._file.marks:
            self._write(structs.replace(self._file, marks=tuple(kept)))

    def apply_acceptance(self, now: datetime) -> bool:
        """Accept what stands if the operator has; returns whether so."""
        if not self._accepted_path.exists():
            return False
        losses = tuple(
            structs.replace(loss, accepted_at=loss.accepted_at or now) for loss in self._file.losses
        )
        self._write(structs.replace(self._file, losses=losses))
        self._accepted_path.unlink(missing_ok=True)
        log.warning("losses of the log were accepted by the operator")
        return True

    def _write(self, content: LossesFile) -> None:
        secrets_file.write(self._path, msgspec.json.encode(content).decode())
        self._file = content


def read(data_dir: Path) -> LossesFile:
    """Return what is remembered; a file that cannot be read is put aside."""
    path = data_dir / LOSSES_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=LossesFile)
    except FileNotFoundError:
        return LossesFile()
    except msgspec.DecodeError:
        path.replace(path.with_name(f"{LOSSES_FILE}.damaged"))
        log.error("what the log has lost is no longer remembered: the file is damaged", path=path)  # noqa: TRY400
        return LossesFile()


def accept(data_dir: Path) -> None:
    """Accept all losses there are."""
    secrets_file.write(data_dir / ACCEPTED_FILE, "")


def is_accepted(data_dir: Path) -> bool:
    """Whether all were accepted, and the service has not taken notice of it yet."""
    return (data_dir / ACCEPTED_FILE).exists()


def describe(loss: Loss) -> str:
    """Return how a loss shows, as part of a sentence."""
    count = loss.last - loss.first + 1
    events = f"{count} events ({loss.first} to {loss.last})" if count > 1 else f"event {loss.first}"
    if loss.kind == "hole":
        return f"{events} {'are' if count > 1 else 'is'} missing in it"
    return _DESCRIPTIONS[loss.kind].format(events=events)
