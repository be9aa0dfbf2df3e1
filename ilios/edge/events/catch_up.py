"""Events of a stream that were published before it began, or while it was behind."""

from collections import deque
from collections.abc import AsyncIterator

from bus import subjects
from bus.stored_messages import StoredMessage
from ilios.edge.events.effects import BATCH, DOCUMENT, parse
from ilios.edge.events.feed import Feed, Listener
from ilios.edge.events.public import PublicEvent


async def events_between(
    feed: Feed, listener: Listener, after: int, last: int
) -> AsyncIterator[PublicEvent]:
    """Yield the events of a listener after a sequence up to another, in the order of the log.

    :raises BusUnavailable: the log cannot be read.
    """
    if listener.names:
        for event in await events_of(feed, listener):
            if after < event.position.sequence <= last:
                yield event
        return
    tenant = listener.scope.tenant
    documents = _Source(feed, subjects.tenant_filter("*", tenant), after)
    batches = _Source(feed, subjects.batch_subject("*", tenant, "*"), after)
    while True:
        sources = [source for source in (documents, batches) if await source.next() is not None]
        message = min((source.waiting[0] for source in sources), key=_sequence, default=None)
        if message is None or message.sequence > last:
            return
        for source in sources:
            if source.waiting[0] is message:
                source.waiting.popleft()
        address = parse(message.subject)
        effect = await feed.effects.effect_of(message, address) if address else None
        if effect is not None:
            yield effect


async def events_of(feed: Feed, listener: Listener) -> list[PublicEvent]:
    """Return all events of the documents and the batch of a listener, in the order of the log.

    These are at most 100 documents with a few events each.

    :raises BusUnavailable: the log cannot be read.
    """
    scope, found = listener.scope, []
    for name in listener.names:
        kind = BATCH if scope.kind == BATCH and name == scope.name else DOCUMENT
        found += await feed.effects.events_of(scope.tenant, kind, name)
    return sorted(found, key=lambda event: event.position.sequence)


def _sequence(message: StoredMessage) -> int:
    return message.sequence


class _Source:
    """Messages on one filter, read in pages."""

    def __init__(self, feed: Feed, subject: str, after: int) -> None:
        self._log = feed.log
        self._subject = subject
        self._after = after
        self._ended = False
        self.waiting: deque[StoredMessage] = deque()

    async def next(self) -> StoredMessage | None:
        """Return the next message without taking it; None at the end."""
        if not self.waiting and not self._ended:
            self.waiting.extend(await self._log.read(self._after, self._subject))
            self._ended = not self.waiting
        if not self.waiting:
            return None
        self._after = self.waiting[0].sequence
        return self.waiting[0]
