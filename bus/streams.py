"""The streams of ilios: what they hold, how long, and how they are brought about."""

from datetime import UTC, datetime

import nats.errors
import structlog
from msgspec import Struct
from nats.js import JetStreamContext
from nats.js.api import (
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StoreCompression,
    StreamConfig,
    StreamInfo,
)
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from . import subjects
from .errors import BusUnavailable

EVENTS = "ILIOS_EVENTS"
DEAD_LETTERS = "ILIOS_DEAD_LETTERS"

HISTORY = 7 * 24 * 3600.0  # seconds an event stays on the log
DEAD_LETTER_HISTORY = 30 * 24 * 3600.0  # seconds a dead letter waits for somebody to look
# Seconds in which a repeated Nats-Msg-Id is dropped. The server holds every id of that time in
# memory; what is repeated later changes nothing in the database either.
DUPLICATE_WINDOW = 600.0
# The server's max_payload less room for the headers with which an event becomes a dead letter: one
# that may come in but not be filed would stop whoever has to file it, and the log behind it.
MAX_EVENT_BYTES = 1024 * 1024 - 64 * 1024


log = structlog.get_logger("bus")


class StreamIdentity(Struct, frozen=True):
    """Which log this is: a stream made anew under the same name is another log.

    ``created`` is the server's RFC 3339 text; ``last_sequence`` the newest event's.
    """

    name: str
    created: str
    last_sequence: int


def _stream_configs() -> tuple[StreamConfig, ...]:
    return (
        StreamConfig(
            name=EVENTS,
            description="The log: everything that happened to every document, in order",
            subjects=[f"{subjects.DOCUMENT}.>", f"{subjects.BATCH}.>", f"{subjects.JANITOR}.>"],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            # Refusing a new event is honest; dropping an old one would lose an accepted document.
            discard=DiscardPolicy.NEW,
            max_age=HISTORY,
            max_msg_size=MAX_EVENT_BYTES,
            duplicate_window=DUPLICATE_WINDOW,
            allow_direct=True,
            compression=StoreCompression.NONE,
        ),
        StreamConfig(
            name=DEAD_LETTERS,
            description="What could not be worked on: the event as it came, reason and attempts",
            subjects=[f"{subjects.DEAD}.>"],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,
            max_age=DEAD_LETTER_HISTORY,
            duplicate_window=DUPLICATE_WINDOW,
            allow_direct=True,
        ),
    )


async def ensure(js: JetStreamContext, replicas: int = 1) -> None:
    """Create the streams that are missing; those that exist are left as their owner set them.

    Only subjects are added that an older ilios did not know: without them nothing could be said.

    :raises BusUnavailable: JetStream does not answer, or refuses.
    """
    for config in _stream_configs():
        config.num_replicas = replicas
        try:
            try:
                found = (await js.stream_info(str(config.name))).config
            except NotFoundError:
                await js.add_stream(config)
            else:
                await _add_subjects(js, found, config.subjects or [])
        except (nats.errors.Error, JetStreamError, TimeoutError) as error:
            raise BusUnavailable(f"the stream {config.name} cannot be made: {error}") from error


async def _add_subjects(js: JetStreamContext, found: StreamConfig, wanted: list[str]) -> None:
    missing = [subject for subject in wanted if subject not in (found.subjects or [])]
    if missing:
        found.subjects = [*(found.subjects or []), *missing]
        await js.update_stream(found)
        log.info("subjects added to a stream", stream=found.name, subjects=missing)


async def identity(js: JetStreamContext) -> StreamIdentity:
    """Say which log ``ILIOS_EVENTS`` is and how far it has come."""
    info = await js.stream_info(EVENTS)
    return StreamIdentity(EVENTS, created(info), info.state.last_seq)


def created(info: StreamInfo) -> str:
    """Return when a stream was made, as the cursor of a database has it."""
    at = info.created
    return at.astimezone(UTC).isoformat() if isinstance(at, datetime) else str(at)
