"""Events of single documents and batches that have an effect, from the log and a bounded memory.

The memory has the progress of documents and batches whose tenant has listeners: the log is read for
one only where it was not seen before.
"""

import asyncio
from collections import OrderedDict

from bus import codec, subjects
from bus.reader import LogPosition
from bus.stored_messages import StoredMessage
from ilios.edge.context import EventLog
from ilios.edge.events.progress import BatchProgress, DocumentProgress
from ilios.edge.events.public import PublicEvent, public_event
from schemas.batches import BatchEvent
from schemas.documents import DocumentEvent
from schemas.event_replies import EventName

MAX_REMEMBERED = 4096
"""Documents and batches in memory. Of the others the log is read again."""

DOCUMENT, BATCH = "document", "batch"

Subject = subjects.DocumentSubject | subjects.BatchSubject


class _History:
    """The progress of one document or batch up to a sequence, and the names of its effects."""

    __slots__ = ("last", "names", "progress")

    def __init__(self, progress: DocumentProgress | BatchProgress) -> None:
        self.progress = progress
        self.last = 0
        self.names: dict[int, EventName] = {}

    def shown(self, message: StoredMessage) -> PublicEvent | None:
        """Return what clients are shown of a message, which is applied if it is the next one."""
        if message.sequence <= self.last and message.sequence not in self.names:
            return None
        try:
            event = codec.decode(message.subject, message.body)
        except codec.MalformedEvent:
            self.last = max(self.last, message.sequence)
            return None
        if message.sequence > self.last:
            self.last = message.sequence
            name = self._apply(event)
            if name is not None:
                self.names[message.sequence] = name
        name = self.names.get(message.sequence)
        position = LogPosition(message.sequence, message.stored_at)
        return public_event(event, name, position) if name else None

    def _apply(self, event: DocumentEvent | BatchEvent) -> EventName | None:
        if isinstance(self.progress, BatchProgress):
            return self.progress.apply(event) if isinstance(event, BatchEvent) else None
        return self.progress.apply(event) if isinstance(event, DocumentEvent) else None


class Effects:
    """The effects of events. Methods that read the log may raise ``BusUnavailable``.

    A reader of a tenant's events in order has to pass all of them here, or to ``forget`` it.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._histories: OrderedDict[tuple[str, str, str], _History] = OrderedDict()
        # One read of a history at a time, or an older one could replace a newer.
        self._reading = asyncio.Lock()

    async def effect_of(self, message: StoredMessage, address: Subject) -> PublicEvent | None:
        """Return what clients are shown of a message; None if it has no effect."""
        async with self._reading:
            key = _key(address)
            history = self._histories.get(key)
            if history is None:
                _, history = await self._read(*key)
            self._histories.move_to_end(key)
            return history.shown(message)

    async def events_of(self, tenant: str, kind: str, name: str) -> list[PublicEvent]:
        """Return all effective events of a document or a batch that the log has."""
        async with self._reading:
            events, _ = await self._read(tenant, kind, name)
            return events

    def forget_all(self) -> None:
        """Forget everything: the log is another one."""
        self._histories.clear()

    def forget(self, tenant: str) -> None:
        """Forget everything of a tenant."""
        for key in [key for key in self._histories if key[0] == tenant]:
            del self._histories[key]

    async def _read(self, tenant: str, kind: str, name: str) -> tuple[list[PublicEvent], _History]:
        if kind == BATCH:
            history = _History(BatchProgress())
            subject = subjects.batch_subject("*", tenant, name)
        else:
            history = _History(DocumentProgress())
            subject = subjects.document_filter("*", tenant, name)
        messages = await self._log.read_all(subject)
        events = [event for message in messages if (event := history.shown(message))]
        self._histories[tenant, kind, name] = history
        while len(self._histories) > MAX_REMEMBERED:
            self._histories.popitem(last=False)
        return events, history


def parse(subject: str) -> Subject | None:
    """Return the parsed subject of an event about a document or a batch; None for any other."""
    try:
        if subject.startswith(subjects.DOCUMENT):
            return subjects.parse_document(subject)
        if subject.startswith(subjects.BATCH):
            return subjects.parse_batch(subject)
    except subjects.MalformedSubject:
        pass
    return None


def _key(address: Subject) -> tuple[str, str, str]:
    if isinstance(address, subjects.BatchSubject):
        return address.tenant, BATCH, address.batch_id
    return address.tenant, DOCUMENT, address.document_id
