"""What hosts share on the bus: facts of the core, which of them are drained, counts of attempts.

Both are streams that store the last value of each subject. Their subjects are below ``ilios.``, for
which the user of an external bus has the permission, and so no key-value buckets of NATS.
"""

import msgspec
import nats.errors
from msgspec import Struct
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from bus import streams
from bus.connection import Connection
from bus.errors import BusUnavailable
from bus.stored_messages import DirectGet

FACTS = "ILIOS_CLUSTER"
COUNTS = "ILIOS_ATTEMPTS"
COUNTS_MAX_AGE = 24 * 3600.0  # seconds since the last attempt; the longest pause takes minutes
MAX_VALUE_BYTES = 64 * 1024

_PREFIXES = {FACTS: "ilios.cluster", COUNTS: "ilios.attempts"}
_FACTS_KEY = "core"
_DRAINED_KEY = "drained"


class _Drained(Struct):
    """Whether the operator wants a host to take no work."""

    drained: bool = False


class _StoreReply(Struct):
    error: dict[str, object] | None = None


class KeyValues:
    """The values in one of the streams, by key. Every method may raise ``BusUnavailable``."""

    def __init__(self, connection: Connection, stream: str) -> None:
        self._connection = connection
        self._stream = stream
        self._messages = DirectGet(connection, stream)

    async def get(self, key: str) -> bytes | None:
        """Return the value of a key, or None."""
        found = await self._messages.last(self._subject(key))
        return found.body if found else None

    async def put(self, key: str, value: bytes) -> None:
        """Replace the value of a key."""
        answer = await self._connection.request(self._subject(key), value)
        try:
            reply = msgspec.json.decode(answer.body, type=_StoreReply)
        except msgspec.MsgspecError as error:
            raise BusUnavailable(f"the stream {self._stream} does not answer: {error}") from error
        if reply.error is not None:
            raise BusUnavailable(f"the stream {self._stream} refuses: {reply.error}")

    def _subject(self, key: str) -> str:
        return f"{_PREFIXES[self._stream]}.{key}"


async def ensure_streams(connection: Connection) -> None:
    """Create the streams that are missing, with as many replicas as the log has.

    :raises BusUnavailable: JetStream does not answer, or refuses.
    """
    async with connection.setup_context() as js:
        try:
            replicas = (await js.stream_info(streams.EVENTS)).config.num_replicas or 1
            for stream, max_age in ((FACTS, 0.0), (COUNTS, COUNTS_MAX_AGE)):
                await _ensure_stream(js, stream, max_age, replicas)
        except (nats.errors.Error, JetStreamError, TimeoutError) as error:
            raise BusUnavailable(f"no streams for the hosts: {error}") from error


async def _ensure_stream(js: JetStreamContext, stream: str, max_age: float, replicas: int) -> None:
    try:
        await js.stream_info(stream)
    except NotFoundError:
        await js.add_stream(
            StreamConfig(
                name=stream,
                subjects=[f"{_PREFIXES[stream]}.>"],
                storage=StorageType.FILE,
                discard=DiscardPolicy.NEW,
                max_msgs_per_subject=1,
                max_msg_size=MAX_VALUE_BYTES,
                max_age=max_age,
                num_replicas=replicas,
                allow_direct=True,
            )
        )


async def publish_facts(connection: Connection, facts: bytes) -> None:
    """Replace the facts of the core. Raises as ``KeyValues``."""
    await KeyValues(connection, FACTS).put(_FACTS_KEY, facts)


async def read_facts(connection: Connection) -> bytes | None:
    """Return the facts of the core, None where it has never started on this log.

    :raises BusUnavailable: the bus does not answer.
    """
    try:
        await connection.jetstream.stream_info(FACTS)
    except NotFoundError:
        return None
    except (nats.errors.Error, JetStreamError, TimeoutError) as error:
        raise BusUnavailable(f"the facts of the core cannot be read: {error}") from error
    return await KeyValues(connection, FACTS).get(_FACTS_KEY)


async def set_drained(connection: Connection, host: str, *, drained: bool) -> None:
    """Record whether the processes of a host are to take work; it holds until it is changed.

    :raises BusUnavailable: the bus does not answer, or refuses.
    """
    await ensure_streams(connection)
    value = msgspec.json.encode(_Drained(drained))
    await KeyValues(connection, FACTS).put(f"{_DRAINED_KEY}.{host}", value)


async def is_drained(connection: Connection, host: str) -> bool:
    """Whether the processes of a host are to take no work.

    :raises BusUnavailable: the bus does not answer, or nothing was ever recorded on it.
    """
    body = await KeyValues(connection, FACTS).get(f"{_DRAINED_KEY}.{host}")
    try:
        return body is not None and msgspec.json.decode(body, type=_Drained).drained
    except msgspec.MsgspecError:
        return False


async def drained_hosts(connection: Connection) -> list[str]:
    """Return the hosts that are to take no work, also those that do not run.

    :raises BusUnavailable: as ``is_drained``.
    """
    begin = f"{_PREFIXES[FACTS]}.{_DRAINED_KEY}."
    found = DirectGet(connection, FACTS).iterate(f"{begin}*")
    names = [one.subject.removeprefix(begin) async for one in found]
    return sorted([one for one in names if await is_drained(connection, one)])
