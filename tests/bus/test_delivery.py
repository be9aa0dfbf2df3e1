"""Metadata of a delivery are read from its reply subject, in the old and in the new form."""

from datetime import UTC, datetime

import nats.errors
import pytest
from nats.aio.msg import Msg

from bus.delivery import EXPECTED_LAST_SEQUENCE_HEADER, EXPECTED_LAST_SUBJECT_HEADER, Delivery
from bus.lean_client import RAW_HEADERS, LeanClient

OLD = "$JS.ACK.ILIOS_EVENTS.fetcher-high.3.42.17.1768473000123456000.9"
NEW = "$JS.ACK.hub.Xy12Ab.ILIOS_EVENTS.fetcher-high.3.42.17.1768473000123456000.9"


class RecordingClient(LeanClient):
    """Records publishes, or refuses them."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[tuple[str, bytes]] = []
        self.fails: Exception | None = None

    def publish_soon(self, subject: str, payload: bytes) -> None:
        if self.fails:
            raise self.fails
        self.published.append((subject, payload))


def delivery(reply: str, client: LeanClient | None = None) -> Delivery:
    client = client or RecordingClient()
    return Delivery(client, Msg(_client=client, subject="a.b", reply=reply, data=b"body"))


@pytest.mark.parametrize("reply", [OLD, NEW, NEW + ".random"], ids=["v1", "v2", "v2 longer"])
def test_attempt_sequences_and_time_are_read_from_the_reply_subject(reply: str) -> None:
    held = delivery(reply)
    assert (held.attempt, held.sequence, held.consumer_sequence) == (3, 42, 17)
    stored_at = datetime(2026, 1, 15, 10, 30, 0, 123456, tzinfo=UTC)
    assert abs((held.stored_at - stored_at).total_seconds()) < 1e-5
    assert (held.subject, held.body) == ("a.b", b"body")


SEQUENCE, SUBJECT = EXPECTED_LAST_SEQUENCE_HEADER, EXPECTED_LAST_SUBJECT_HEADER
CONDITION = "ilios.document.submitted.*.acme.m0abc123abc123abc123abc1"


@pytest.mark.parametrize(
    ("lines", "is_first"),
    [
        ([f"{SEQUENCE}: 0", f"{SUBJECT}: {CONDITION}"], True),
        ([f"{SUBJECT}: {CONDITION}", "Nats-Msg-Id: x", f"{SEQUENCE}: 0"], True),
        ([], False),
        ([f"{SEQUENCE}: 7", f"{SUBJECT}: {CONDITION}"], False),
        ([f"{SEQUENCE}: 0"], False),
        ([f"{SEQUENCE}: 0", f"{SUBJECT}: {CONDITION}2"], False),
        ([f"{SEQUENCE}: 0", f"{SUBJECT}: {CONDITION}".replace("*", "p05")], False),
        ([f"{SEQUENCE}: 0", f"{SUBJECT}: other", f"{SUBJECT}: {CONDITION}"], False),
        ([f"{SEQUENCE}: 7", f"{SEQUENCE}: 0", f"{SUBJECT}: {CONDITION}"], False),
        ([f"X-{SEQUENCE}: 0", f"{SUBJECT}: {CONDITION}"], False),
    ],
)
def test_an_event_is_first_only_if_the_log_took_it_on_that_condition(
    lines: list[str], *, is_first: bool
) -> None:
    client = RecordingClient()
    raw = "\r\n".join(["NATS/1.0", *lines, "", ""])
    subject = CONDITION.replace("*", "p07")
    message = Msg(client, subject=subject, reply=OLD, data=b"", headers={RAW_HEADERS: raw})
    assert Delivery(client, message).is_first == is_first


async def test_acks_are_protocol_messages() -> None:
    client = RecordingClient()
    held = delivery(OLD, client)
    await held.ack()
    await held.nak(1.5)
    await held.nak(0)
    await held.in_progress()
    assert client.published == [
        (OLD, b"+ACK"),
        (OLD, b'-NAK {"delay":1500000000}'),
        (OLD, b'-NAK {"delay":0}'),
        (OLD, b"+WPI"),
    ]


async def test_an_answer_that_cannot_be_sent_is_nobodys_error() -> None:
    client = RecordingClient()
    client.fails = ConnectionResetError()
    await delivery(OLD, client).ack()
    client.fails = nats.errors.ConnectionClosedError()
    await delivery(OLD, client).nak(1)
