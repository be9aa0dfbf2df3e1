"""Comparison of the log with the database, at the start and every minute, to find lost events.

nats-server silently drops everything behind a damaged place in its files. Only numbers show that:
the first and last sequence of the log, the number of events between, the cursor of the database.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime, timedelta

import structlog
from msgspec import structs

from actors.blob_keys import ORIGINALS, owner_of
from actors.ports import Blobs, MaintenanceQueries, StorageUnavailable, StoredBlob
from actors.writes import Cursor
from bus import log_state
from bus.connection import Connection
from bus.log import Log
from bus.log_state import LogState, SequenceRange
from bus.subjects import StreamIdentity
from ilios.database.queries import SqliteLogQueries
from ilios.integrity.faults import Faults
from ilios.integrity.losses import Checkpoint, Loss, LossStore, describe
from schemas.batches import batch_id_of, find_submission
from schemas.records import DocumentRecord

SOURCE = "log"
CHECK_INTERVAL = 60.0  # seconds
FULL_READ_INTERVAL = 24 * 3600.0  # seconds between reads of the whole log
ACCEPTANCE_POLL_INTERVAL = 2.0  # seconds until an acceptance by the operator has effect
AGE_MARGIN = timedelta(hours=1)  # for differing clocks
UNREAD_TOLERATED = 500  # events without an effect on the database, at most
MAX_HOLES = 20  # listed one by one
PAGE_SIZE = 2000  # originals
MAX_NAMED = 1000
MAX_SHOWN = 5  # names in a message
ALL_SEQUENCES = (0, 2**62)
ADVICE = (
    "`ilios losses` lists them; when they are dealt with, run `ilios losses --accept` "
    "(docs/operations.md, Losses of the log)"
)

log = structlog.get_logger(SOURCE)


class LogCheck:
    """The check of one database, as the ``Losses`` of the actors. Losses stand until accepted.

    ``pop_damaged`` returns whether the server found damage since the last call,
    ``pop_write_failed`` whether it replaces one that could not write.
    """

    def __init__(
        self,
        connection: Connection,
        reads: SqliteLogQueries,
        queries: MaintenanceQueries,
        blobs: Blobs,
        *,
        losses: LossStore,
        faults: Faults,
        pop_damaged: Callable[[], bool],
        pop_write_failed: Callable[[], bool],
    ) -> None:
        self._connection = connection
        self._log = Log(connection)
        self._reads = reads
        self._queries = queries
        self._blobs = blobs
        self._losses = losses
        self._faults = faults
        self._pop_damaged = pop_damaged
        self._pop_write_failed = pop_write_failed
        self._lock = asyncio.Lock()
        self._recheck = asyncio.Event()
        self._fully_read_at: float | None = None  # when the whole log was last read
        self._read_up_to: dict[str, int] = {}  # by log: the end when it was empty
        # Log and number of missing events of the last lookup.
        self._checked_missing: tuple[str, int] | None = None

    async def run(self) -> None:
        """Check every minute and after each reconnect, until cancelled."""
        forget = self._connection.on_reconnect(self._recheck.set)
        try:
            while True:
                self._recheck.clear()
                await self.check()
                until = time.monotonic() + CHECK_INTERVAL
                while time.monotonic() < until and not self._recheck.is_set():
                    if self._losses.apply_acceptance(datetime.now(UTC)):
                        self._report()
                    await asyncio.sleep(ACCEPTANCE_POLL_INTERVAL)
                if self._recheck.is_set():  # a restarted server may find other damage
                    self._fully_read_at = None
        finally:
            forget()

    async def check(self) -> None:
        """Report lost events, and the documents that they concern.

        :raises BusUnavailable: the log does not answer.
        """
        await self.compare_numbers()
        await self._read_whole_log()
        if self._losses.unaccepted:
            await self._drop_recovered()
            await self._find_unowned_originals()
            self._losses.set_waiting(await self._find_waiting())
        self._report()

    async def compare_numbers(self) -> None:
        """Compare sequences only; raises as ``check``."""
        self._losses.apply_acceptance(datetime.now(UTC))
        # The cursor first: what it covers was on the log.
        await self._compare_with_state(await self._reads.cursor())
        self._report()

    async def record_loss(self, cursor: Cursor, log: StreamIdentity) -> None:
        """Record that the log is another one, or lacks events, that the database was written from.

        New events may have followed by now.
        """
        async with self._lock:
            now, last = datetime.now(UTC), cursor.sequence
            state = LogState(log.created, 1, log.last_sequence, 0, None)
            if cursor.created == log.created:
                gone = (min(log.last_sequence + 1, last), last)
                if not self._losses.covers_end(cursor.created, gone):
                    self._losses.add([await self._describe_loss("end", cursor.created, gone, now)])
            elif not await self._continues(cursor, state):
                self._losses.add(
                    [await self._describe_loss("other", cursor.created, (1, last), now)]
                )
        self._report()

    def may_affect(self, stored_at: datetime) -> bool:
        """Whether a blob stored at that time may belong to a lost submission.

        True until the whole log was read.
        """
        return self._fully_read_at is None or self._losses.may_affect(stored_at)

    async def _compare_with_state(self, cursor: Cursor | None) -> None:
        async with self._lock:
            state = await log_state.fetch(self._connection)
            if state is None:
                return  # its reader creates it again, and calls ``record_loss``
            now = datetime.now(UTC)
            found = await self._compare_with_cursor(cursor, state, now)
            found = found or await self._compare_with_checkpoints(state, now)
            found = [*found, *await self._find_holes(state, now)]
            if self._pop_write_failed():
                found = _as_unwritten(found, now)
            # The server logs the same damage at every start.
            damaged = self._pop_damaged() and not self._losses.has_any(state.created)
            if damaged and not found:
                found = [
                    await self._describe_loss(
                        "damage", state.created, (state.last, state.last), now
                    )
                ]
            self._losses.add(found)
            self._losses.add_checkpoint(Checkpoint(state.created, state.last, now))

    async def _compare_with_cursor(
        self, cursor: Cursor | None, state: LogState, now: datetime
    ) -> list[Loss]:
        """Compare the log with the cursor of the database."""
        if cursor is None:
            gone = (1, state.first - 1)
            if self._losses.is_unwritten(state.created, gone):
                return []
            kind = (
                "unread" if await self._reads.any_submitted_between(*ALL_SEQUENCES) else "database"
            )
            return [await self._describe_loss(kind, state.created, gone, now)] if gone[1] else []
        if cursor.created != state.created and not await self._continues(cursor, state):
            return [await self._describe_loss("other", cursor.created, (1, cursor.sequence), now)]
        if cursor.sequence > state.last:
            gone = (state.last + 1, cursor.sequence)
            return [await self._describe_loss("end", state.created, gone, now)]
        gone = (max(cursor.sequence, self._read_up_to.get(state.created, 0)) + 1, state.first - 1)
        unread = gone[1] - gone[0] + 1
        # The last events may have had no effect, and expired before the cursor passed them;
        # earlier versions never moved the cursor past them.
        unsure = state.is_empty or not self._losses.checkpoints
        if unread > (UNREAD_TOLERATED if unsure else 0):
            return [await self._describe_loss("unread", state.created, gone, now)]
        if state.is_empty:  # until the next event
            self._read_up_to[state.created] = state.last
        return []

    async def _continues(self, cursor: Cursor, state: LogState) -> bool:
        """Whether the log has the events of its predecessor, as after a restore.

        Then it has events older than itself.
        """
        at = await log_state.stored_at(self._connection, cursor.sequence)
        return at is not None and at < datetime.fromisoformat(state.created)

    async def _compare_with_checkpoints(self, state: LogState, now: datetime) -> list[Loss]:
        """Compare the log with earlier checkpoints."""
        marks = [mark for mark in self._losses.checkpoints if mark.created == state.created]
        if marks and marks[-1].last > state.last:
            gone = (state.last + 1, marks[-1].last)
            return [await self._describe_loss("end", state.created, gone, now)]
        if state.max_age is None or (marks and marks[-1].is_from_future(now)):
            return []
        for mark in marks:
            age = now - mark.at + AGE_MARGIN
            if age.total_seconds() < state.max_age and state.first > mark.last + 1:
                gone = (mark.last + 1, state.first - 1)
                noted = self._losses.holes(state.created)
                if not any(first <= gone[0] and gone[1] <= last for first, last in noted):
                    return [await self._describe_loss("beginning", state.created, gone, now)]
                return []
        return []

    async def _find_holes(self, state: LogState, now: datetime) -> list[Loss]:
        """Return the holes between the first event and the last."""
        if (
            looked_up := (state.created, state.missing)
        ) == self._checked_missing or not state.missing:
            return []
        found = await self._new_holes(await log_state.missing_ranges(self._connection), state, now)
        self._checked_missing = looked_up
        return found

    async def _new_holes(
        self, holes: list[SequenceRange], state: LogState, now: datetime
    ) -> list[Loss]:
        noted = self._losses.holes(state.created)
        new = [part for hole in holes for part in _subtract(hole, noted)]
        if len(new) > MAX_HOLES:
            new = [(new[0][0], new[-1][1])]
        return [await self._describe_loss("hole", state.created, hole, now) for hole in new]

    async def _read_whole_log(self) -> None:
        """Find events that the server counts but cannot read, by reading everything.

        The server reads most of its files only when events are requested.
        """
        now = time.monotonic()
        if self._fully_read_at is not None and now - self._fully_read_at < FULL_READ_INTERVAL:
            return
        state = await log_state.fetch(self._connection)
        if state is not None:
            found = await log_state.unreadable_ranges(self._connection, state)
            self._losses.add(await self._new_holes(found, state, datetime.now(UTC)))
        self._fully_read_at = now

    async def _describe_loss(
        self, kind: str, created: str, gone: SequenceRange, now: datetime
    ) -> Loss:
        first, last = gone
        same_log = kind not in ("other", "database")
        before = last if kind == "damage" else first - 1
        since = await log_state.stored_at(self._connection, before) if same_log else None
        until = await log_state.stored_at(self._connection, last + 1) if kind != "end" else None
        return Loss(
            kind=kind,  # type: ignore[arg-type]  # one of ``Kind``
            created=created,
            first=first,
            last=last,
            found_at=now,
            since=since,
            until=(until if same_log else None) or now,
        )

    async def _drop_recovered(self) -> None:
        """Drop losses that the present database contains."""
        for loss in self._losses.unaccepted:
            if loss.kind == "database" and await self._reads.any_submitted_between(
                loss.first, loss.last
            ):
                self._losses.replace(loss, None)

    async def _find_waiting(self) -> tuple[str, ...]:
        """Return unfinished documents whose next event is lost."""
        unfinished = await self._queries.unfinished_documents(datetime.now(UTC), None, MAX_NAMED)
        waiting = [one for one in unfinished if not await self._has_next_event(one)]
        return tuple(f"{one.tenant}/{one.document_id}" for one in waiting)

    async def _has_next_event(self, document: DocumentRecord) -> bool:
        name = (document.tenant, document.document_id)
        if document.state == "processing" and await self._log.last_event(*name, "fetched"):
            return True
        return await self._is_submitted(*name, detected=document.state == "processing")

    async def _is_submitted(self, tenant: str, document_id: str, *, detected: bool = False) -> bool:
        """Whether the log has the submission, alone or in its batch, and it is ``detected``."""
        first = await self._log.first_submission(tenant, document_id)
        if first is not None:
            return not detected or first.event.detected is not None
        batch_id = batch_id_of(document_id)
        batch = await self._log.batch(tenant, batch_id) if batch_id is not None else None
        found = batch and find_submission(batch.event, document_id)
        return batch is not None and (not detected or bool(found and found.detected))

    async def _find_unowned_originals(self) -> None:
        """Find originals without a document: their submission may be lost."""
        try:
            for loss in self._losses.unaccepted:
                if loss.originals is None:
                    unowned = [key async for key in self._unowned(loss)]
                    found = tuple(unowned[:MAX_NAMED])
                else:
                    found = tuple([key for key in loss.originals if not await self._is_owned(key)])
                if found != loss.originals:
                    self._losses.replace(loss, structs.replace(loss, originals=found))
        except StorageUnavailable as error:
            log.warning("search for originals postponed", reason=str(error))

    async def _unowned(self, loss: Loss) -> AsyncIterator[str]:
        position: str | None = None
        while True:
            page, position = await self._blobs.list_page(ORIGINALS, position, PAGE_SIZE)
            for key in await self._without_owner(loss, page):
                yield key
            if position is None:
                return

    async def _without_owner(self, loss: Loss, page: list[StoredBlob]) -> list[str]:
        keys = [blob.key for blob in page if loss.may_affect(blob.modified_at)]
        owners = {key: owner for key in keys if (owner := owner_of(key)) is not None}
        names = {(owner.tenant, owner.document_id) for owner in owners.values()}
        noted = {(one.tenant, one.document_id) for one in await self._queries.lookup(names)}
        return [
            key
            for key, owner in owners.items()
            if (owner.tenant, owner.document_id) not in noted
            and not await self._is_submitted(owner.tenant, owner.document_id)
        ]

    async def _is_owned(self, key: str) -> bool:
        owner = owner_of(key)
        if owner is None:
            return True
        name = (owner.tenant, owner.document_id)
        return bool(await self._queries.lookup([name])) or await self._is_submitted(*name)

    def _report(self) -> None:
        standing = self._losses.unaccepted
        if not standing:
            self._faults.resolve(SOURCE)
            return
        blocking = any(loss.kind == "database" for loss in standing)
        self._faults.report(SOURCE, describe_all(standing, self._losses.waiting), blocking=blocking)


def describe_all(standing: tuple[Loss, ...], waiting: tuple[str, ...]) -> str:
    """Return the losses, the documents that they concern, and the remedy.

    Documents by their ids alone: health is public, and names no tenant.
    """
    what = "; ".join(describe(loss) for loss in standing[:MAX_SHOWN])
    more = f"; and {len(standing) - MAX_SHOWN} more" if len(standing) > MAX_SHOWN else ""
    keys = dict.fromkeys(key for loss in standing for key in loss.originals or ())
    originals = tuple(owner.document_id for key in keys if (owner := owner_of(key)) is not None)
    ids = tuple(name.rpartition("/")[2] for name in waiting)
    concerned = [
        _count_and_names(ids, "document waits", "documents wait", "for an event that is gone"),
        _count_and_names(
            originals, "original belongs", "originals belong", "to no document of this database"
        ),
    ]
    concern = "; ".join(part for part in concerned if part) or "no document waits for them"
    do = ADVICE
    if any(loss.kind == "database" for loss in standing):
        do = f"bring back the database (see LOCAL_DB_PATH), or stop and run `ilios rebuild`; {do}"
    return f"{what}{more}. {concern[0].upper()}{concern[1:]}. {do[0].upper()}{do[1:]}"


def _as_unwritten(found: list[Loss], now: datetime) -> list[Loss]:
    """Return the losses; a single event that was refused on a full volume is none."""
    if len(found) != 1 or found[0].first != found[0].last or found[0].kind in ("end", "other"):
        return found
    return [structs.replace(found[0], kind="unwritten", accepted_at=now)]


def _subtract(some: SequenceRange, noted: Iterable[SequenceRange]) -> list[SequenceRange]:
    """Return the parts of a range that are in none of the other ones."""
    left = [some]
    for first, last in noted:
        parts = [
            ((one[0], min(one[1], first - 1)), (max(one[0], last + 1), one[1])) for one in left
        ]
        left = [part for pair in parts for part in pair if part[0] <= part[1]]
    return left


def _count_and_names(names: tuple[str, ...], one: str, several: str, what: str) -> str:
    if not names:
        return ""
    more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    who = one if len(names) == 1 else several
    return f"{len(names)} {who} {what}: {', '.join(names[:MAX_SHOWN])}{more}"
