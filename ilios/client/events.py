"""Server-sent events of a service, as its structs."""

from collections.abc import AsyncIterator

from msgspec import Struct

from ilios.client.connection import decode
from ilios.client.errors import UnexpectedAnswer
from schemas.event_replies import BatchEventData, DocumentEventData, ResetData
from schemas.states import TERMINAL_STATES

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Bytes of one event; the largest has the state of 200 documents."""


class ServerEvent(Struct, frozen=True, kw_only=True):
    """An event: give its ``id`` to go on after it. ``reset`` means that some may be missing."""

    id: str
    name: str
    data: DocumentEventData | BatchEventData | ResetData

    @property
    def ends_document(self) -> bool:
        """Whether it is the last one of the stream of a document."""
        match self.data:
            case DocumentEventData(status=status):
                return status in TERMINAL_STATES
            case ResetData(document=document):
                return document is not None and document.status in TERMINAL_STATES
        return False

    @property
    def ends_batch(self) -> bool:
        """Whether it is the last one of the stream of a batch."""
        if isinstance(self.data, ResetData):
            return self.data.batch is not None and self.data.batch.completed_at is not None
        return self.name == "batch.completed"


class Frame(Struct):
    """The fields of an event as they arrive; ``retry`` is in milliseconds."""

    id: str = ""
    name: str = ""
    data: str = ""
    retry: int | None = None

    def add(self, line: str) -> None:
        """Add a line; a comment changes nothing."""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self.data += f"\n{value}" if self.data else value
        elif name == "event":
            self.name = value
        elif name == "id" and "\0" not in value:
            self.id = value
        elif name == "retry" and value.isascii() and value.isdecimal():
            self.retry = int(value)

    def event(self) -> ServerEvent | None:
        """Return the event; None if it has no data, or a name that this version does not have."""
        topic = self.name.partition(".")[0]
        kinds: dict[str, type[DocumentEventData | BatchEventData | ResetData]] = {
            "document": DocumentEventData,
            "batch": BatchEventData,
            "reset": ResetData,
        }
        if not self.data or topic not in kinds:
            return None
        return ServerEvent(
            id=self.id, name=self.name, data=decode(self.data.encode(), kinds[topic])
        )


async def read_frames(pieces: AsyncIterator[bytes]) -> AsyncIterator[Frame]:
    """Yield events until the stream ends; one that was cut off is dropped.

    :raises UnexpectedAnswer: an event is too large.
    """
    frame, waiting, size = Frame(), b"", 0
    async for chunk in pieces:
        *lines, waiting = (waiting + chunk).split(b"\n")
        size += len(chunk)
        for line in lines:
            text = line.removesuffix(b"\r").decode("utf-8", "replace")
            if text:
                frame.add(text)
            else:
                yield frame
                frame, size = Frame(), 0
        if size > MAX_EVENT_BYTES:
            raise UnexpectedAnswer("an event is too large")
