"""Lost events of the log, recorded in a file of the data directory until the operator accepts them.

Only the service writes that file. The operator accepts by another file beside it, which the service
notices within seconds, or when it starts.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
import structlog
from msgspec import Struct, structs

from ilios.secret import write_private_file

LOSSES_FILE = "log-losses.json"
ACCEPTED_FILE = "log-losses.accepted"
MAX_UPLOAD_TIME = timedelta(hours=24)  # at most, between storing an original and submitting it
MAX_CLOCK_SKEW = timedelta(minutes=10)  # between us and a blob store
CHECKPOINT_EVERY = timedelta(hours=1)
CHECKPOINTS_KEPT_FOR = timedelta(days=15)
CLOCK_TOLERANCE = timedelta(minutes=1)  # clocks are adjusted by little all the time

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
    """Lost events, and how they were noticed (``kind``).

    They are ``first`` to ``last`` of the log that was ``created`` then. Originals stored between
    ``since`` (None: ever) and ``until`` may have been submitted by one of them. ``originals`` are
    keys of originals without a document, None before the search.
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
        """The members that identify the loss."""
        return (self.kind, self.created, self.first, self.last)

    def may_affect(self, stored_at: datetime) -> bool:
        """Whether a blob stored at that time may belong to one of the events."""
        if self.since is not None and stored_at < self.since - MAX_UPLOAD_TIME:
            return False
        return stored_at <= self.until + MAX_CLOCK_SKEW


class Checkpoint(Struct, frozen=True):
    """The end of the log at some time: later events are younger."""

    created: str
    last: int
    at: datetime

    def is_from_future(self, now: datetime) -> bool:
        """Whether the clock was set back since, which makes the checkpoint useless."""
        return self.at > now + CLOCK_TOLERANCE


class LossesFile(Struct, frozen=True):
    """The content of the file; ``waiting`` are documents whose next event is lost."""

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
        """Losses that are not accepted, the oldest first."""
        return tuple(loss for loss in self._file.losses if loss.accepted_at is None)

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Ends of the log at earlier times, the oldest first."""
        return self._file.marks

    @property
    def waiting(self) -> tuple[str, ...]:
        """Documents whose next event is lost."""
        return self._file.waiting

    def may_affect(self, stored_at: datetime) -> bool:
        """Whether a blob stored at that time may belong to a loss, also an accepted one."""
        return any(loss.may_affect(stored_at) for loss in self._file.losses)

    def holes(self, created: str) -> list[tuple[int, int]]:
        """Return the recorded holes of a log."""
        kinds = ("hole", "unread", "beginning", "unwritten")
        return [
            (loss.first, loss.last)
            for loss in self._file.losses
            if loss.kind in kinds and loss.created == created
        ]

    def is_unwritten(self, created: str, gone: tuple[int, int]) -> bool:
        """Whether this range is recorded as an event that was refused on a full volume."""
        wanted = ("unwritten", created, *gone)
        return any(loss.identity == wanted for loss in self._file.losses)

    def covers_end(self, created: str, gone: tuple[int, int]) -> bool:
        """Whether an unaccepted loss of the end of a log covers this range."""
        return any(
            loss.first <= gone[0] and gone[1] <= loss.last
            for loss in self.unaccepted
            if loss.kind == "end" and loss.created == created
        )

    def has_any(self, created: str) -> bool:
        """Whether any loss of a log is recorded, accepted or not."""
        return any(loss.created == created for loss in self._file.losses)

    def add(self, found: Iterable[Loss]) -> None:
        """Record losses that are not recorded yet."""
        for loss in found:
            if loss.identity in [one.identity for one in self._file.losses]:
                continue
            self._write(structs.replace(self._file, losses=(*self._file.losses, loss)))
            write, title = log.error, "events lost"
            if loss.kind == "unwritten":
                write, title = log.warning, "event refused on a full volume"
            write(title, kind=loss.kind, first=loss.first, last=loss.last, log=loss.created)

    def replace(self, before: Loss, after: Loss | None) -> None:
        """Replace a loss by a more complete one, or remove it."""
        losses = (after if loss == before else loss for loss in self._file.losses)
        remaining = tuple(loss for loss in losses if loss is not None)
        self._write(structs.replace(self._file, losses=remaining))

    def set_waiting(self, waiting: tuple[str, ...]) -> None:
        """Record the documents whose next event is lost."""
        if waiting != self._file.waiting:
            self._write(structs.replace(self._file, waiting=waiting))

    def add_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Record the end of the log, once an hour.

        Checkpoints beyond the end are dropped, and all that were made by a clock that was ahead.
        """
        recent = [
            one
            for one in self._file.marks
            if one.created == checkpoint.created
            and one.last <= checkpoint.last
            and abs(checkpoint.at - one.at) < CHECKPOINTS_KEPT_FOR
        ]
        if recent and recent[-1].is_from_future(checkpoint.at):
            recent = []
        if not recent or abs(checkpoint.at - recent[-1].at) >= CHECKPOINT_EVERY:
            recent.append(checkpoint)
        if tuple(recent) != self._file.marks:
            self._write(structs.replace(self._file, marks=tuple(recent)))

    def apply_acceptance(self, now: datetime) -> bool:
        """Apply an acceptance by the operator, if any; returns whether one was waiting."""
        if not self._accepted_path.exists():
            return False
        losses = tuple(
            structs.replace(loss, accepted_at=loss.accepted_at or now) for loss in self._file.losses
        )
        self._write(structs.replace(self._file, losses=losses))
        self._accepted_path.unlink(missing_ok=True)
        log.warning("losses accepted by the operator")
        return True

    def _write(self, content: LossesFile) -> None:
        write_private_file(self._path, msgspec.json.encode(content).decode())
        self._file = content


def read(data_dir: Path) -> LossesFile:
    """Read the file; a damaged one is renamed."""
    path = data_dir / LOSSES_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=LossesFile)
    except FileNotFoundError:
        return LossesFile()
    except msgspec.DecodeError:
        path.replace(path.with_name(f"{LOSSES_FILE}.damaged"))
        log.error("record of losses damaged and renamed", path=path)  # noqa: TRY400
        return LossesFile()


def accept(data_dir: Path) -> None:
    """Accept all losses."""
    write_private_file(data_dir / ACCEPTED_FILE, "")


def is_accepted(data_dir: Path) -> bool:
    """Whether an acceptance waits for the service."""
    return (data_dir / ACCEPTED_FILE).exists()


def describe(loss: Loss) -> str:
    """Return a description of a loss, as part of a sentence."""
    count = loss.last - loss.first + 1
    events = f"{count} events ({loss.first} to {loss.last})" if count > 1 else f"event {loss.first}"
    if loss.kind == "hole":
        return f"{events} {'are' if count > 1 else 'is'} missing in it"
    return _DESCRIPTIONS[loss.kind].format(events=events)
