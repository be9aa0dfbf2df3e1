"""An actor with scripted behaviour."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import ClassVar

from actors.actor import Actor
from actors.attempts import SharedCounts
from actors.errors import UNSUPPORTED_OPTION_TIMEOUT
from bus.connection import Connection
from bus.consumers import Consumer
from bus.delivery import DeliveryInfo
from bus.publisher import Publisher
from schemas.documents import AnyDocumentEvent, DocumentFetched, DocumentSubmitted
from tests import events

Behaviour = Callable[[DocumentSubmitted, DeliveryInfo], Awaitable[AnyDocumentEvent | None]]


async def answer_fetched(event: DocumentSubmitted, delivery: DeliveryInfo) -> AnyDocumentEvent:
    return DocumentFetched(
        document_id=event.document_id,
        priority=event.priority,
        original=events.fetched().original,
        content_type="text/plain",
    )


class ScriptedActor(Actor[DocumentSubmitted]):
    """Runs the scripted steps for the deliveries in turn, then converts."""

    consumer: ClassVar = Consumer(
        name="parrot",
        description="A test",
        event_type=DocumentSubmitted,
        ack_wait=0.6,
        backoff=(0.05, 0.1, 0.15),
        concurrency=4,
    )

    def __init__(
        self,
        connection: Connection,
        at_once: int | None = None,
        *,
        unsupported_option_timeout: float = UNSUPPORTED_OPTION_TIMEOUT,
        counts: SharedCounts | None = None,
    ) -> None:
        super().__init__(
            connection,
            at_once,
            unsupported_option_timeout=unsupported_option_timeout,
            counts=counts,
        )
        self.behaviours: dict[str, list[Behaviour | Exception]] = defaultdict(list)
        self.deliveries: dict[str, list[DeliveryInfo]] = defaultdict(list)
        self.clock = asyncio.get_running_loop().time
        self.times: list[float] = []

    def script(self, *behaviours: Behaviour | Exception, number: int = 1) -> None:
        self.behaviours[events.id_of(number)].extend(behaviours)

    def deliveries_of(self, number: int = 1) -> list[DeliveryInfo]:
        return self.deliveries[events.id_of(number)]

    async def handle(
        self, event: DocumentSubmitted, delivery: DeliveryInfo
    ) -> AnyDocumentEvent | None:
        self.deliveries[event.document_id].append(delivery)
        self.times.append(self.clock())
        turns = self.behaviours[event.document_id]
        turn = turns.pop(0) if turns else answer_fetched
        if isinstance(turn, Exception):
            raise turn
        return await turn(event, delivery)


class PatientActor(ScriptedActor):
    """With a deadline of a minute only what is handed back is delivered again in time."""

    consumer: ClassVar = Consumer(
        name="patient",
        description="A test",
        event_type=DocumentSubmitted,
        ack_wait=60.0,
        concurrency=2,
    )


async def publish_events(connection: Connection, *numbers: int) -> None:
    publisher = Publisher(connection)
    await asyncio.gather(*(publisher.publish(events.submitted(number)) for number in numbers))
