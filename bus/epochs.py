"""Epochs: of the cores that share a log, only the one that came last can change anything.

A core takes an epoch at its start. Its publishes are conditional on it, so that the log itself
refuses them from the moment that another core has one, whatever this process knows by then: it may
have been stopped for any time just before. No clock decides anything.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import cycle

import msgspec
import nats.errors
import structlog
from msgspec import Struct
from msgspec.structs import replace
from nats.aio.msg import Msg

from bus import codec, epoch_records, subjects
from bus.connection import Connection
from bus.delivery import EXPECTED_LAST_SEQUENCE_HEADER, EXPECTED_LAST_SUBJECT_HEADER
from bus.epoch_records import LANES, EpochsRefused, EpochTaken, Holder, Record, lane_subject
from bus.errors import BusUnavailable, Superseded
from bus.publisher import MSG_ID_HEADER, NODE_ACK_TIMEOUT
from schemas.events import JanitorProbed

LOOK_INTERVAL = 1.0  # seconds between looks at the epoch of the log
SURE_FOR = 1.0  # seconds after a look in which a submission is published without another one
PROVED_FOR = 0.5  # seconds for which a publish proves it to those who delete something
MAX_RESENDS = 5  # of a publish during which the epoch was renewed
RENEWALS_PER_AGE = 24  # renewals in the time for which the log stores an event
RENEWAL_INTERVAL = 3600.0  # seconds between renewals at most
TAKE_ATTEMPTS, TAKE_PAUSE = 20, 0.05  # seconds; several cores may start at once

_PROBED = f"{subjects.JANITOR}.{subjects.event_name(JanitorProbed)}"
_PROBE = codec.encode(JanitorProbed())
_WRONG_LAST_SEQUENCE = 10071  # JetStream API error code, nats-server server/errors.json
_SUBMISSIONS = (f"{subjects.DOCUMENT}.submitted.", f"{subjects.BATCH}.submitted.")

log = structlog.get_logger("epoch")

Follows = Callable[[Holder], Awaitable[bool]]
"""Whether a process belongs to the core of an epoch."""


class EpochStands(Exception):
    """Another core has the log; the message names it."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(
            f"the log of this bus belongs to another core: {holder}. One bus belongs to one core: "
            "stop that one, or use another bus. If it is gone for good, or is to be replaced: "
            "ilios serve --take-over"
        )


class NoEpoch(BusUnavailable):
    """The log has no epoch: it was created again, or its age has removed the records."""


class _Reply(Struct):
    error: dict[str, object] | None = None


_reply = msgspec.json.Decoder(_Reply)


async def refuse_second(connection: Connection, core: str) -> Record | None:
    """Return the last epoch of the log, unless it is that of another core and stands.

    :raises EpochStands: it does.
    :raises BusUnavailable: the log does not answer.
    """
    record = await epoch_records.read(connection)
    if record is not None and not record.holder.released and record.holder.core != core:
        raise EpochStands(record.holder)
    return record


async def take(connection: Connection, holder: Holder, *, take_over: bool) -> Record:
    """Take the next epoch of the log.

    :raises EpochStands: another core has one, and ``take_over`` is not set.
    :raises EpochsRefused: the bus takes no epochs.
    :raises BusUnavailable: the log does not answer.
    """
    violations = connection.permission_violations
    before = violations.count
    for left in reversed(range(TAKE_ATTEMPTS)):
        if take_over:
            former = await epoch_records.read(connection)
        else:
            former = await refuse_second(connection, holder.core)
        try:
            await epoch_records.allow_batches(connection)
            epoch = await epoch_records.write(connection, holder, former.epoch if former else 0)
        except EpochTaken:
            pass
        except BusUnavailable as error:
            if violations.is_lacking(f"{subjects.JANITOR}.epoch.") or violations.count > before:
                message = f"its user may not publish to {subjects.JANITOR}.epoch.*"
                raise EpochsRefused(f"{message}, or not change the stream") from error
            if not left:
                raise
        else:
            return Record(epoch, holder)
        await asyncio.sleep(TAKE_PAUSE)
    raise BusUnavailable("the epochs of other cores follow one another")


class Epoch:
    """The epoch of a core, as one of its processes, or one that works for it, has it.

    ``superseded`` is done, with the core that came later, when the epoch is over.
    """

    def __init__(self, connection: Connection, record: Record, follows: Follows) -> None:
        self._connection = connection
        self._client = connection.client
        self._record = record
        self._follows = follows
        self._numbers = cycle(range(1, LANES))
        self._lanes = {lane: asyncio.Lock() for lane in range(1, LANES)}
        self._sure_until = self._proved_until = 0.0
        self.superseded: asyncio.Future[Holder] = asyncio.get_running_loop().create_future()

    @property
    def record(self) -> Record:
        """The record of the epoch on the log; its core renews it from time to time."""
        return self._record

    async def request(
        self, subject: str, body: bytes, headers: dict[str, str], within: float
    ) -> Msg:
        """Publish a body unless the epoch is over. As ``Fence``."""
        for _ in range(MAX_RESENDS):
            epoch = self._record.epoch
            reply = await self._send(subject, body, headers, within)
            if not _is_refused(reply):
                return reply
            await self._look()
            if self._record.epoch == epoch:
                return reply  # refused for its own condition
        raise BusUnavailable("the epoch was renewed again and again")

    async def confirm(self) -> None:
        """Ask the log whether the epoch is over. As ``Fence``.

        In a cluster by a publish: a leader that is cut off answers reads, and stores nothing.
        """
        self._raise_if_superseded()
        if not self._connection.may_lag:
            await self._look()
        elif time.monotonic() > self._proved_until:
            began = time.monotonic()
            try:
                headers = {MSG_ID_HEADER: secrets.token_hex(16)}
                reply = await self.request(_PROBED, _PROBE, headers, NODE_ACK_TIMEOUT)
            except (nats.errors.Error, OSError, TimeoutError) as error:
                raise BusUnavailable(f"no acknowledgement: {error}") from error
            if (refusal := _reply.decode(reply.data).error) is not None:
                raise BusUnavailable(f"refused: {refusal.get('description')}")
            self._proved_until = began + PROVED_FOR

    async def watch(self) -> None:
        """Look at the epoch of the log again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            with suppress(BusUnavailable):
                await self.look()

    async def look(self) -> None:
        """Read the epoch of the log.

        :raises Superseded: ours is over.
        :raises NoEpoch: the log has none.
        :raises BusUnavailable: the log does not answer.
        """
        self._raise_if_superseded()
        await self._look()

    def adopt(self, record: Record) -> None:
        """Replace the record by a later one of the same core."""
        self._record = record

    async def _send(self, subject: str, body: bytes, headers: dict[str, str], within: float) -> Msg:
        self._raise_if_superseded()
        client = self._client
        if subject.startswith(f"{subjects.DEAD_LETTER}."):
            await self.confirm()  # another stream: no publish on it is conditional on the log
            return await client.request(subject, body, timeout=within, headers=headers)
        is_conditional = EXPECTED_LAST_SEQUENCE_HEADER in headers
        if is_conditional and not self._connection.may_lag and subject.startswith(_SUBMISSIONS):
            return await self._send_submission(subject, body, headers, within)
        async with self._condition() as condition:
            if not is_conditional:
                both = {**headers, **condition}
                return await client.request(subject, body, timeout=within, headers=both)
            # One message has one condition: an event without an effect has the other one.
            # Its id is unique, and some servers take no ids in batches.
            own = {name: text for name, text in headers.items() if name != MSG_ID_HEADER}
            probe, event = epoch_records.batch([(_PROBED, _PROBE, condition), (subject, body, own)])
            await client.publish(probe[0], probe[1], headers=probe[2])
            return await client.request(event[0], event[1], timeout=within, headers=event[2])

    async def _send_submission(
        self, subject: str, body: bytes, headers: dict[str, str], within: float
    ) -> Msg:
        """Publish a submission that has a condition of its own, between two looks.

        A single server takes 12 ms for a batch. Here it is enough that nobody is promised anything
        once the epoch is over: what is on the log is converted by the next core.
        """
        if time.monotonic() > self._sure_until:
            await self._look()
        reply = await self._client.request(subject, body, timeout=within, headers=headers)
        await self._look()
        return reply

    @asynccontextmanager
    async def _condition(self) -> AsyncIterator[dict[str, str]]:
        """Return headers by which the log refuses a publish once the epoch is over."""
        lane = next(self._numbers)
        if not self._connection.may_lag:  # a single server decides about one after the other
            yield self._headers(lane)
            return
        async with self._lanes[lane]:
            yield self._headers(lane)

    def _headers(self, lane: int) -> dict[str, str]:
        return {
            EXPECTED_LAST_SEQUENCE_HEADER: str(self._record.epoch + lane),
            EXPECTED_LAST_SUBJECT_HEADER: lane_subject(lane),
        }

    async def _look(self) -> None:
        """Compare the epoch with that of the log. Raises as ``look``."""
        began = time.monotonic()
        record = await epoch_records.read(self._connection)
        if record is None:
            raise NoEpoch("the log has no epoch")
        if record.epoch != self._record.epoch:
            if not await self._follows(record.holder):
                if record.epoch < self._record.epoch:
                    # Of a node that is cut off, or of another log: no proof that ours is over.
                    raise BusUnavailable(f"the log has an older epoch: {record.holder}")
                self._end(record)
            self._record = record
        self._sure_until = began + SURE_FOR

    def _end(self, record: Record) -> None:
        if not self.superseded.done():
            self.superseded.set_result(record.holder)
            log.error("epoch over", epoch=self._record.epoch, core=str(record.holder))
        self._raise_if_superseded()

    def _raise_if_superseded(self) -> None:
        if self.superseded.done():
            raise Superseded(f"another core has taken the log over: {self.superseded.result()}")


def _is_refused(reply: Msg) -> bool:
    if b'"error"' not in reply.data:
        return False
    error = _reply.decode(reply.data).error
    return error is not None and error.get("err_code") == _WRONG_LAST_SEQUENCE


class OwnEpoch:
    """An epoch that this process has taken: renewed before the log removes it, then given back."""

    def __init__(self, connection: Connection, record: Record, max_age: float) -> None:
        self._connection = connection
        self._interval = min(RENEWAL_INTERVAL, max_age / RENEWALS_PER_AGE)
        self._process = record.holder.process
        self.epoch = Epoch(connection, record, self._is_own)

    async def run(self) -> None:
        """Watch and renew the epoch until cancelled."""
        renewed_at = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            with suppress(BusUnavailable, EpochsRefused):
                try:
                    await self.epoch.look()
                    due = time.monotonic() - renewed_at > self._interval
                except NoEpoch:
                    due = True
                if due:
                    await self.renew()
                    renewed_at = time.monotonic()

    async def release(self) -> None:
        """Give the epoch back, so that any core may start; the last thing that a core does."""
        record = self.epoch.record
        with suppress(EpochTaken, BusUnavailable):
            await epoch_records.write(
                self._connection, replace(record.holder, released=True), record.epoch
            )

    async def renew(self) -> None:
        """Write the record again, which publishes that are on their way follow.

        :raises BusUnavailable: the log does not answer.
        """
        record = self.epoch.record
        found = await epoch_records.read(self._connection)
        expected = record.epoch if found is not None else 0
        await epoch_records.allow_batches(self._connection)
        with suppress(EpochTaken):  # the next look shows by whom
            epoch = await epoch_records.write(self._connection, record.holder, expected)
            self.epoch.adopt(Record(epoch, record.holder))

    async def _is_own(self, holder: Holder) -> bool:
        return holder.process == self._process and not holder.released
