"""What could not be worked on is filed once, with all that somebody needs who looks into it."""

import pytest
from nats.aio.msg import Msg
from nats.js.api import RawStreamMsg

from bus import dead_letters, streams
from bus.connection import Connection, connect
from bus.dead_letters import DeadLetters, header_value
from bus.delivery import Delivery
from bus.errors import BusUnavailable
from bus.publisher import Publisher
from bus.reader import Reader
from ilios.nats_server import NatsServer
from schemas.documents import DocumentSubmitted
from tests import events
from tests.bus.conftest import MortalServer
from tests.bus.raw import RawClient, publish
from tests.waiting import until

SUBJECT = f"ilios.document.fetched.p05.default.{events.name(1)}"


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
    await DeadLetters(Publisher(connection)).bury("ocr", delivery(connection), "it is broken")
    (letter,) = await filed(connection)
    assert letter.data == b"the body"
    assert letter.subject == f"ilios.dead.fetched.default.{events.name(1)}"
    assert letter.headers == {
        "Nats-Msg-Id": f"dead:{streams.EVENTS}:7",
        dead_letters.REASON: "it is broken",
        dead_letters.ACTOR: "ocr",
        dead_letters.ATTEMPTS: "3",
        dead_letters.SUBJECT: SUBJECT,
        dead_letters.SEQUENCE: "7",
    }


async def test_an_event_is_filed_once_however_often_and_by_whomever(connection: Connection) -> None:
    letters = DeadLetters(Publisher(connection))
    for actor in ("ocr", "ocr", "persister"):
        await letters.bury(actor, delivery(connection), "it is broken")
    await letters.bury("ocr", delivery(connection, sequence=8), "it is broken")
    places = [(letter.headers or {})[dead_letters.SEQUENCE] for letter in await filed(connection)]
    assert places == ["7", "8"]


REASONS = ["", "two\r\nlines\x00", "half a \ud800 character", "ü \U0001f600", "x" * 100_000]


@pytest.mark.parametrize("reason", REASONS, ids=range(len(REASONS)))
async def test_any_reason_can_be_filed(connection: Connection, reason: str) -> None:
    await DeadLetters(Publisher(connection)).bury("ocr", delivery(connection), reason)
    (letter,) = await filed(connection)
    assert letter.data == b"the body"
    assert len(str((letter.headers or {})[dead_letters.REASON])) <= dead_letters.MAX_REASON


def test_a_header_is_one_bounded_line() -> None:
    assert header_value("a\r\nb\tc\x00d\x7fe\u2028f") == "a  b c d e f"
    assert header_value("grün") == "grün"
    assert len(header_value("x" * 5000)) == dead_letters.MAX_REASON


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
    await DeadLetters(Publisher(connection)).bury("p", delivery(connection, subject=subject), "no")
    (letter,) = await filed(connection)
    assert letter.subject == "ilios.dead.unknown.unknown.7"


async def test_whatever_the_log_takes_can_be_filed(
    nats_server: NatsServer, connection: Connection
) -> None:
    """An event that came in and cannot be filed would stop whoever has to file it, for ever."""
    subject = b"ilios.document.submitted.p05.default." + b"z" * 3900
    async with RawClient(nats_server.url("operator")) as publisher:
        await publisher.say(publish(subject, b"x" * streams.MAX_EVENT_BYTES))
        await publisher.say(publish(subject, b"x" * (streams.MAX_EVENT_BYTES + 1)))
    assert (await connection.jetstream.stream_info(streams.EVENTS)).state.messages == 1
    async with Reader(connection, "test", "A test", (DocumentSubmitted,)).read_after(0, 1) as log:
        (largest,) = await log.group(1)
        await DeadLetters(Publisher(connection)).bury("persister", largest, "\U0001f600" * 5000)
    (letter,) = await filed(connection)
    assert len(letter.data or b"") == streams.MAX_EVENT_BYTES


async def test_what_cannot_be_filed_is_an_error(
    mortal: MortalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.publisher.SAID_WITHIN", 0.1)
    async with connect(mortal.url("operator"), name="test") as connection:
        await mortal.kill()
        await until(lambda: not connection.connected)
        publisher = Publisher(connection)
        with pytest.raises(BusUnavailable):
            await publisher.publish("ilios.dead.x", b"", {}, within=0.1)
