"""The streams of ilios: their settings and creation."""

from datetime import UTC, datetime

import nats.errors
import structlog
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

from bus import subjects
from bus.errors import BusUnavailable
from bus.replicas import add_stream, set_copies
from bus.subjects import StreamIdentity

EVENTS = "ILIOS_EVENTS"
DEAD_LETTERS = "ILIOS_DEAD_LETTERS"

EVENTS_MAX_AGE = 7 * 24 * 3600.0  # seconds for which the log stores an event
DEAD_LETTERS_MAX_AGE = 30 * 24 * 3600.0  # seconds for which a dead letter is stored
# Seconds in which a repeated Nats-Msg-Id is dropped. The server stores all ids of that time in
# memory, and a publisher may choose ids of 64 KB: so it only covers immediate repetitions. Later
# ones are stored and have no effect.
DUPLICATE_WINDOW = 0.5
DEAD_LETTER_WINDOW = 60.0  # only the service publishes there, and repeats itself after a restart
# The max_payload of the server less room for the headers of a dead letter: an event that is too
# large to be filed as one would block its consumer and everything behind it.
MAX_EVENT_BYTES = 1024 * 1024 - 64 * 1024


log = structlog.get_logger("bus")


def _stream_configs(max_age: float) -> tuple[StreamConfig, ...]:
    return (
        StreamConfig(
            name=EVENTS,
            description="The log: everything that happened to every document, in order",
            subjects=[f"{subjects.DOCUMENT}.>", f"{subjects.BATCH}.>", f"{subjects.JANITOR}.>"],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            # Rejecting a new event is visible; dropping an old one would lose an accepted document.
            discard=DiscardPolicy.NEW,
            max_age=max_age,
            max_msg_size=MAX_EVENT_BYTES,
            duplicate_window=DUPLICATE_WINDOW,
            allow_direct=True,
            compression=StoreCompression.NONE,
        ),
        StreamConfig(
            name=DEAD_LETTERS,
            description="What could not be worked on: the event as it came, reason and attempts",
            subjects=[f"{subjects.DEAD_LETTER}.>"],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,
            max_age=DEAD_LETTERS_MAX_AGE,
            duplicate_window=DEAD_LETTER_WINDOW,
            allow_direct=True,
        ),
    )


async def ensure(
    js: JetStreamContext,
    copies: int | None = None,
    *,
    owned: bool = False,
    max_age: float = EVENTS_MAX_AGE,
) -> list[str]:
    """Create missing streams; existing ones keep the settings of their owner.

    A new log stores an event for ``max_age`` seconds. With ``copies`` a stream gets so many, also
    an existing one; without, a new one gets as many as are of use.

    Only missing subjects are added, without which events could not be published. On an ``owned``
    bus the longer duplicate window of an older version is shortened. For another bus a sentence
    with the command that shortens it is returned; likewise for too few copies.

    :raises BusMisconfigured: the servers cannot store so many copies.
    :raises BusUnavailable: JetStream does not answer, or refuses.
    """
    advice: list[str] = []
    for config in _stream_configs(max_age):
        try:
            try:
                info = await js.stream_info(str(config.name))
            except NotFoundError:
                await add_stream(js, config, copies)
            else:
                found = info.config
                if few := await set_copies(js, info, copies):
                    advice.append(few)
                await _add_subjects(js, found, config.subjects or [])
                wanted = config.duplicate_window or DUPLICATE_WINDOW
                if (found.duplicate_window or 0.0) > wanted:
                    if owned:
                        await _shorten_window(js, found, wanted)
                    else:
                        advice.append(_window_advice(found, wanted))
        except (nats.errors.Error, JetStreamError, TimeoutError) as error:
            raise BusUnavailable(f"the stream {config.name} cannot be created: {error}") from error
    return advice


async def _add_subjects(js: JetStreamContext, found: StreamConfig, wanted: list[str]) -> None:
    missing = [subject for subject in wanted if subject not in (found.subjects or [])]
    if missing:
        found.subjects = [*(found.subjects or []), *missing]
        await js.update_stream(found)
        log.info("subjects added to a stream", stream=found.name, subjects=missing)


async def _shorten_window(js: JetStreamContext, found: StreamConfig, wanted: float) -> None:
    was, found.duplicate_window = found.duplicate_window, wanted
    await js.update_stream(found)
    log.info("duplicate window shortened", stream=found.name, was=was, seconds=wanted)


def _window_advice(found: StreamConfig, wanted: float) -> str:
    return (
        f"the stream {found.name} holds the ids of {found.duplicate_window:g} s in memory, "
        f"{wanted:g} s are enough: nats stream edit {found.name} --dupe-window {wanted:g}s"
    )


async def age_advice(js: JetStreamContext, wanted: float) -> str | None:
    """Return a sentence with the command that lets the log reach back ``wanted`` seconds.

    None when it does. It is not applied here: a shorter age removes events at once, also those that
    have not been read, and the owner of the stream may have chosen another one.
    """
    found = (await js.stream_info(EVENTS)).config.max_age or 0.0
    if found == wanted:
        return None
    reach = f"{found / 3600:g} hours" if found else "to its beginning"
    return (
        f"the stream {EVENTS} exists and reaches back {reach}; to change it, while no event waits: "
        f"nats stream edit {EVENTS} --max-age {wanted / 3600:g}h"
    )


async def identity(js: JetStreamContext) -> StreamIdentity:
    """Return the identity of ``ILIOS_EVENTS`` with its last sequence."""
    info = await js.stream_info(EVENTS)
    return StreamIdentity(EVENTS, created_at(info), info.state.last_seq)


def created_at(info: StreamInfo) -> str:
    """Return the creation time of a stream in the form of the cursors of the database."""
    at = info.created
    return at.astimezone(UTC).isoformat() if isinstance(at, datetime) else str(at)
