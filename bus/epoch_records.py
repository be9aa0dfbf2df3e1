"""The records of an epoch on the log, and how they are replaced.

An epoch is the sequence of its first record. The records are written as one atomic batch (NATS
ADR-50) on condition that the former epoch is still the last one: of two cores that start at once
only one succeeds. One record would be enough to refuse a publish. There are several because in a
cluster only one publish at a time may be conditional on the same subject.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime

import msgspec
import nats.errors
from msgspec import Struct
from nats.js.errors import BadRequestError
from nats.js.errors import Error as JetStreamError

from bus import streams, subjects
from bus.connection import Connection
from bus.delivery import EXPECTED_LAST_SEQUENCE_HEADER, EXPECTED_LAST_SUBJECT_HEADER
from bus.errors import BusUnavailable
from bus.stored_messages import DirectGet

LANES = 32
"""Publishes that may be on their way at a time, all conditional on the epoch."""
WRITE_TIMEOUT = 2.0  # seconds

BATCH_ID_HEADER, BATCH_SEQUENCE_HEADER = "Nats-Batch-Id", "Nats-Batch-Sequence"
BATCH_COMMIT_HEADER = "Nats-Batch-Commit"
# JetStream API error codes, nats-server server/errors.json
_WRONG_LAST_SEQUENCE, _UNDECIDED = 10071, 10164


class Holder(Struct, frozen=True, kw_only=True):
    """The core of an epoch.

    ``core`` is the id of its data directory, ``process`` is another one at each start. An epoch
    that was ``released`` stands no more.
    """

    core: str
    process: str
    host: str
    directory: str
    version: str
    since: datetime
    released: bool = False

    def __str__(self) -> str:
        since = self.since.isoformat(sep=" ", timespec="seconds")
        return f"ilios {self.version} on {self.host} in {self.directory}, since {since}"


class Record(Struct, frozen=True):
    """An epoch on the log, and whose it is."""

    epoch: int
    holder: Holder


class EpochTaken(Exception):
    """The log has another epoch than the expected one."""


class EpochsRefused(Exception):
    """This bus takes no epochs: its user may not write them, or its stream is a special one."""


class _Ack(Struct):
    seq: int = 0
    error: dict[str, object] | None = None


def lane_subject(lane: int) -> str:
    """Return the subject of a record; lane 0 is that of the epoch itself."""
    return f"{subjects.JANITOR}.epoch.{lane}"


async def read(connection: Connection) -> Record | None:
    """Return the last epoch of the log, as its leader has it.

    :raises BusUnavailable: the log does not answer.
    """
    found = await DirectGet(connection, streams.EVENTS).last(lane_subject(0))
    if found is None:
        return None
    try:
        return Record(found.sequence, msgspec.json.decode(found.body, type=Holder))
    except msgspec.MsgspecError as error:
        raise BusUnavailable(f"the epoch {found.sequence} cannot be read: {error}") from error


async def write(connection: Connection, holder: Holder, expected: int) -> int:
    """Replace the epoch ``expected``, 0 for none; return the new one.

    :raises EpochTaken: it is no longer the last one.
    :raises BusUnavailable: nobody answers, or the log is busy with another write; it may have been
        replaced.
    """
    condition = {
        EXPECTED_LAST_SEQUENCE_HEADER: str(expected),
        EXPECTED_LAST_SUBJECT_HEADER: lane_subject(0),
    }
    body = msgspec.json.encode(holder)
    messages = [
        (lane_subject(lane), b"" if lane else body, {} if lane else condition)
        for lane in range(LANES)
    ]
    *before, last = batch(messages)
    try:
        for subject, text, headers in before:
            await connection.client.publish(subject, text, headers=headers)
        subject, text, headers = last
        reply = await connection.client.request(
            subject, text, timeout=WRITE_TIMEOUT, headers=headers
        )
        answer = msgspec.json.decode(reply.data, type=_Ack)
    except (nats.errors.Error, OSError, TimeoutError, msgspec.MsgspecError) as error:
        raise BusUnavailable(f"no epoch was written: {error}") from error
    if answer.error is None:
        return answer.seq - LANES + 1
    text_of_error = f"{answer.error.get('description')} ({answer.error.get('err_code')})"
    if answer.error.get("err_code") == _WRONG_LAST_SEQUENCE:
        raise EpochTaken(text_of_error)
    raise BusUnavailable(f"no epoch was written: {text_of_error}")


def batch(
    messages: Sequence[tuple[str, bytes, dict[str, str]]],
) -> list[tuple[str, bytes, dict[str, str]]]:
    """Return messages with the headers by which all of them are stored, or none."""
    name = secrets.token_hex(8)
    numbered = [
        (subject, body, {**headers, BATCH_ID_HEADER: name, BATCH_SEQUENCE_HEADER: str(number)})
        for number, (subject, body, headers) in enumerate(messages, 1)
    ]
    numbered[-1][2][BATCH_COMMIT_HEADER] = "1"
    return numbered


async def allow_batches(connection: Connection) -> None:
    """Let the log take atomic batches, which the streams of former versions do not.

    :raises EpochsRefused: the server does not let it.
    :raises BusUnavailable: the server does not answer.
    """
    try:
        async with connection.setup_context() as js:
            config = (await js.stream_info(streams.EVENTS)).config
            if not config.allow_atomic:
                config.allow_atomic = True
                await js.update_stream(config)
    except BadRequestError as error:
        raise EpochsRefused(f"the log takes no batches: {error}") from error
    except (nats.errors.Error, JetStreamError, TimeoutError) as error:
        raise BusUnavailable(f"the log takes no batches: {error}") from error
