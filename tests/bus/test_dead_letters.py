"""A dead letter is filed once, with everything needed for its analysis."""

import pytest
from nats.aio.msg import Msg
from nats.js.api import RawStreamMsg

from bus import dead_letters, streams
from bus.connection import Connection, connect
from bus.dead_letters import DeadLetterPublisher, sanitize_header_value
from bus.delivery import Delivery
from bus.errors import BusUnavailable
from bus.publisher import Publisher
from bus.reader import Reader
from ilios.nats.server import NatsServer
from schemas.documents import DocumentSubmitted
from tests import events
from tests.bus.conftest import KillableServer
from tests.bus.raw_client import RawClient, publish
from tests.waiting import wait_until

SUBJECT = f"ilios.document.fetched.p05.default.{events.id_of(1)}"


def delivery(
    connection: Connection, sequence: int = 7, subject: str = SUBJECT, body: bytes = b"the body"
) -> Delivery:
    reply = f"$JS.ACK.{streams.EVENTS}.ocr-normal.3.{sequence}.9.1768473000000000000.0"
    message = Msg(_client=connection.client, subject=subject, reply=reply, data=body)
    return Delivery(connection.client, message)


async def filed(connection: Connection) -> list[RawStreamMsg]:
    state = (await connection.jetstream.stream_info(streams.DEAD_LETTERS)).state
    numbers = range(1, state.last_seq + 1)
    return [await connection.jetstream.get_msg(streams.DEAD_LETTERS, n) for n in numbers]


async def test_a_dead_letter_holds_body_reason_attempts_and_place(connection: Connection) -> None:
    await DeadLetterPublisher(Publisher(connection)).publish(
        "ocr", delivery(connection), "it is broken"
    )
    (letter,) = await filed(connection)
    assert letter.data == b"the body"
    assert letter.subject == f"ilios.dead.fetched.default.{events.id_of(1)}"
    assert letter.headers == {
        "Nats-Msg-Id": f"dead:{streams.EVENTS}:7",
        dead_letters.REASON: "it is broken",
        dead_letters.ACTOR: "ocr",
        dead_letters.ATTEMPTS: "3",
        dead_letters.SUBJECT: SUBJECT,
        dead_letters.SEQUENCE: "7",
    }


async def test_a_dead_letter_is_stored_once_however_many_actors_store_it(
    connection: Connection,
) -> None:
    letters = DeadLetterPublisher(Publisher(connection))
    for actor in ("ocr", "ocr", "persister"):
        await letters.publish(actor, delivery(connection), "it is broken")
    await letters.publish("ocr", delivery(connection, sequence=8), "it is broken")
    places = [(letter.headers or {})[dead_letters.SEQUENCE] for letter in await filed(connection)]
    assert places == ["7", "8"]


REASONS = ["", "two\r\nlines\x00", "half a \ud800 character", "ü \U0001f600", "x" * 100_000]


@pytest.mark.parametrize("reason", REASONS, ids=range(len(REASONS)))
async def test_any_reason_can_be_filed(connection: Connection, reason: str) -> None:
    await DeadLetterPublisher(Publisher(connection)).publish("ocr", delivery(connection), reason)
    (letter,) = await filed(connection)
    assert letter.data == b"the body"
    assert len(str((letter.headers or {})[dead_letters.REASON])) <= dead_letters.MAX_REASON_CHARS


def test_a_header_is_one_bounded_line() -> None:
    assert sanitize_header_value("a\r\nb\tc\x00d\x7fe\u2028f") == "a  b c d e f"
    assert sanitize_header_value("grün") == "grün"
    assert len(sanitize_header_value("x" * 5000)) == dead_letters.MAX_REASON_CHARS


ODD_SUBJECTS = [
    "ilios.document.submitted.p05.*.>",
    "ilios.document.submitted.p05.a\rb.x",
    "ilios.document.submitted.p05.\ufffd.x",
    "ilios.document.submitted.p05." + "z" * 3900,
]


@pytest.mark.parametrize("subject", ODD_SUBJECTS, ids=range(len(ODD_SUBJECTS)))
async def test_an_event_under_any_subject_can_be_filed(
    connection: Connection, subject: str
) -> None:
    await DeadLetterPublisher(Publisher(connection)).publish(
        "p", delivery(connection, subject=subject), "no"
    )
    (letter,) = await filed(connection)
    assert letter.subject == "ilios.dead.unknown.unknown.7"


async def test_any_stored_event_can_become_a_dead_letter(
    nats_server: NatsServer, connection: Connection
) -> None:
    """A stored event that cannot be filed would block its consumer for ever."""
    subject = b"ilios.document.submitted.p05.default." + b"z" * 3900
    async with RawClient(nats_server.url("operator")) as publisher:
        await publisher.send(publish(subject, b"x" * streams.MAX_EVENT_BYTES))
        await publisher.send(publish(subject, b"x" * (streams.MAX_EVENT_BYTES + 1)))
    assert (await connection.jetstream.stream_info(streams.EVENTS)).state.messages == 1
    async with Reader(connection, "test", "A test", (DocumentSubmitted,)).read_after(0, 1) as log:
        (largest,) = await log.fetch(1)
        await DeadLetterPublisher(Publisher(connection)).publish(
            "persister", largest, "\U0001f600" * 5000
        )
    (letter,) = await filed(connection)
    assert len(letter.data or b"") == streams.MAX_EVENT_BYTES


async def test_a_dead_letter_that_cannot_be_published_is_an_error(
    killable_server: KillableServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.publisher.PUBLISH_TIMEOUT", 0.1)
    async with connect(killable_server.url("operator"), name="test") as connection:
        await killable_server.kill()
        await wait_until(lambda: not connection.connected)
        publisher = Publisher(connection)
        with pytest.raises(BusUnavailable):
            await publisher.publish_raw("ilios.dead.x", b"", {}, within=0.1)
