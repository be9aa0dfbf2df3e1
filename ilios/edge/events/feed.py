"""The feed: reads the log once for all listeners of an edge, and hands each its events.

It reads while there are listeners. Who falls behind, or begins in the past, reads from the log by
itself until it has caught up (``catch_up.py``), so what waits in memory is bounded.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog
from aiohttp import web

from bus import subjects
from bus.errors import BusUnavailable
from bus.reader import LOG_START, LogPosition
from ilios.edge.client_slots import ClientSlots
from ilios.edge.context import EventLog
from ilios.edge.events.effects import Effects, Subject, parse
from ilios.edge.events.public import PublicEvent
from ilios.edge.events.sealing import Scope

MAX_WAITING = 256
"""Events that wait for one listener; beyond that it reads them from the log again."""
POLL_INTERVAL = 1.0
"""Seconds after which the log is read without a notice, which may be missed."""
RETRY_PAUSE = 0.5
"""Seconds before the log is read again after an error."""

_SHOWN = frozenset(
    {
        *("submitted", "fetched", "converted", "completed", "failed", "rejected"),
        *("cancelled", "deleted", "progressed"),
    }
)
"""Kinds of events that change what clients are shown."""

log = structlog.get_logger("events")


class TooManyListeners(Exception):
    """There are as many listeners as are allowed, of all tenants or of this one."""


class Listener:
    """One stream: the events that wait for it. ``names`` are the documents and batches it is about.

    Without names it is about everything of the tenant.
    """

    __slots__ = ("_waiting", "_woken", "behind", "closed", "names", "scope")

    def __init__(self, scope: Scope, names: Iterable[str]) -> None:
        self.scope = scope
        self.names = frozenset(names)
        self.behind = True
        self.closed = False
        self._waiting: deque[PublicEvent] = deque()
        self._woken = asyncio.Event()

    def offer(self, event: PublicEvent) -> None:
        """Add an event, unless the listener reads the log anyway."""
        if self.behind:
            return
        if len(self._waiting) >= MAX_WAITING:
            self.behind = True
            self._waiting.clear()
        else:
            self._waiting.append(event)
        self._woken.set()

    def take(self) -> PublicEvent | None:
        """Return the next event that waits."""
        return self._waiting.popleft() if self._waiting else None

    def follow(self) -> None:
        """Let events wait from now on."""
        self.behind = False
        self._waiting.clear()

    def close(self) -> None:
        """End the stream."""
        self.closed = True
        self._woken.set()

    async def wait(self, within: float) -> bool:
        """Wait for something to do; False after ``within`` seconds."""
        try:
            async with asyncio.timeout(within):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True


class Feed:
    """Listeners of one edge, each in one of its slots."""

    def __init__(self, log: EventLog, slots: ClientSlots) -> None:
        self.log = log
        self.effects = Effects(log)
        self._slots = slots
        self._position: LogPosition = LOG_START
        self._listeners: dict[str, dict[Listener, None]] = {}
        self._by_name: dict[tuple[str, str], dict[Listener, None]] = {}
        self._counts: Counter[str] = Counter()
        self._notice = asyncio.Event()
        self._starting = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def position(self) -> LogPosition:
        """The position up to which every event was handed out."""
        return self._position

    @asynccontextmanager
    async def listen(self, scope: Scope, names: Iterable[str] = ()) -> AsyncIterator[Listener]:
        """Add a listener while the context is open.

        :raises TooManyListeners: there is no place for it.
        :raises BusUnavailable: the log cannot be read.
        """
        with self._slots.slot(scope.tenant) as may_listen:
            if not may_listen:
                raise TooManyListeners
            with self._counted(scope.tenant):
                await self._start()
                listener = Listener(scope, names)
                self._add(listener)
                try:
                    yield listener
                finally:
                    self._remove(listener)

    @contextmanager
    def _counted(self, tenant: str) -> Iterator[None]:
        """Read the events of a tenant while the context is open."""
        self._counts[tenant] += 1
        try:
            yield
        finally:
            self._counts[tenant] -= 1
            if not self._counts[tenant]:
                del self._counts[tenant]
                self.effects.forget(tenant)
            if not self._counts:
                self._stop()

    def close(self) -> None:
        """End all streams, now and from now on."""
        self._closed = True
        self._close_listeners()
        self._stop()

    def _close_listeners(self) -> None:
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.close()

    def _add(self, listener: Listener) -> None:
        tenant = listener.scope.tenant
        self._listeners.setdefault(tenant, {})[listener] = None
        for name in listener.names:
            self._by_name.setdefault((tenant, name), {})[listener] = None
        if self._closed:
            listener.close()

    def _remove(self, listener: Listener) -> None:
        tenant = listener.scope.tenant
        del self._listeners[tenant][listener]
        if not self._listeners[tenant]:
            del self._listeners[tenant]
        for name in listener.names:
            of_name = self._by_name[tenant, name]
            del of_name[listener]
            if not of_name:
                del self._by_name[tenant, name]

    async def _start(self) -> None:
        async with self._starting:
            if self._reading is None and not self._closed:
                self._position = await self.log.end()
                self._reading = asyncio.create_task(self._read())

    def _stop(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()

    async def _read(self) -> None:
        """Read the log until cancelled; if that ends, so do all streams, which are resumed."""
        try:
            while True:
                try:
                    async with self.log.notices(self._notice.set):
                        await self._read_on()
                except BusUnavailable as error:
                    log.info("log not readable", error=str(error))
                    await asyncio.sleep(RETRY_PAUSE)
        except Exception:
            log.exception("unexpected error of the feed")
            self._fail()

    def _fail(self) -> None:
        self._reading = None
        self._close_listeners()

    async def _read_on(self) -> None:
        # After an interruption it may be another log, or have lost its end.
        if not await self.log.reaches(self._position):
            log.warning("the log was cut or replaced, all streams end")
            self._position = await self.log.end()
            self._close_listeners()
            self.effects.forget_all()
        while True:
            self._notice.clear()
            while messages := await self.log.read(self._position.sequence):
                for message in messages:
                    address = parse(message.subject)
                    if address is not None and self._is_wanted(address):
                        event = await self.effects.effect_of(message, address)
                        if address.tenant not in self._counts:
                            # Its last listener has left meanwhile; the next events are not read.
                            self.effects.forget(address.tenant)
                        elif event is not None:
                            self._hand_out(event, address)
                    self._position = LogPosition(message.sequence, message.stored_at)
            try:
                async with asyncio.timeout(POLL_INTERVAL):
                    await self._notice.wait()
            except TimeoutError:
                continue

    def _is_wanted(self, address: Subject) -> bool:
        return address.tenant in self._counts and address.event in _SHOWN

    def _hand_out(self, event: PublicEvent, address: Subject) -> None:
        name = (
            address.batch_id if isinstance(address, subjects.BatchSubject) else address.document_id
        )
        for listener in self._by_name.get((address.tenant, name), ()):
            listener.offer(event)
        for listener in self._listeners.get(address.tenant, ()):
            if not listener.names:
                listener.offer(event)


FEED = web.AppKey("event_feed", Feed)
