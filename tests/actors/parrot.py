"""An actor that does what a test says."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import ClassVar

from actors.actor import Actor, Occasion
from bus.connection import Connection
from bus.consumers import Consumer
from bus.publisher import Publisher
from schemas.documents import AnyDocumentEvent, DocumentFetched, DocumentSubmitted
from tests import events

Behaviour = Callable[[DocumentSubmitted, Occasion], Awaitable[AnyDocumentEvent | None]]


async def answer(heard: DocumentSubmitted, occasion: Occasion) -> AnyDocumentEvent:
    return DocumentFetched(
        document_id=heard.document_id,
        priority=heard.priority,
        original=events.fetched().original,
        content_type="text/plain",
    )


class Parrot(Actor[DocumentSubmitted]):
    """Does with each document what the test says, in turn; then answers."""

    consumer: ClassVar = Consumer(
        name="parrot",
        description="A test",
        hears=DocumentSubmitted,
        ack_within=0.6,
        retry_after=(0.05, 0.1, 0.15),
        at_once=4,
    )

    def __init__(self, connection: Connection, at_once: int | None = None) -> None:
        super().__init__(connection, at_once)
        self.behaviours: dict[str, list[Behaviour | Exception]] = defaultdict(list)
        self.occasions: dict[str, list[Occasion]] = defaultdict(list)
        self.at = asyncio.get_running_loop().time
        self.times: list[float] = []

    def will(self, *behaviours: Behaviour | Exception, number: int = 1) -> None:
        self.behaviours[events.name(number)].extend(behaviours)

    def heard(self, number: int = 1) -> list[Occasion]:
        return self.occasions[events.name(number)]

    async def receive(
        self, heard: DocumentSubmitted, occasion: Occasion
    ) -> AnyDocumentEvent | None:
        self.occasions[heard.document_id].append(occasion)
        self.times.append(self.at())
        turns = self.behaviours[heard.document_id]
        turn = turns.pop(0) if turns else answer
        if isinstance(turn, Exception):
            raise turn
        return await turn(heard, occasion)


class Patient(Parrot):
    """With a deadline of a minute only what is handed back is delivered again in time."""

    consumer: ClassVar = Consumer(
        name="patient", description="A test", hears=DocumentSubmitted, ack_within=60.0, at_once=2
    )


async def say(connection: Connection, *numbers: int) -> None:
    publisher = Publisher(connection)
    await asyncio.gather(*(publisher.say(events.submitted(number)) for number in numbers))
