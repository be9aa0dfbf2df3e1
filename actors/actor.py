"""What all actors that hear one event and answer with the next have in common.

An actor declares its ``consumer`` (what it hears, its acknowledgement deadline, its retry steps,
how many at once) and one ``receive``. The rest is done here, once: take as many as there is room
for, decode, bind the log context, say the answer, *then* acknowledge; judge what went wrong.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar

import structlog
from msgspec import Struct

from bus import failpoints, wire
from bus.connection import Connection
from bus.consumers import LANES, Consumer, lane_of
from bus.dead_letters import DeadLetters
from bus.delivery import Delivery
from bus.errors import BusFull, BusUnavailable, EventTooLarge
from bus.inbox import Inbox, Settled, nothing_settled
from bus.publisher import Publisher
from bus.verdicts import Drop, Reject, Retry
from schemas.documents import AnyDocumentEvent, DocumentEvent, DocumentFailed

from .places import Places
from .ports import StorageUnavailable

MAX_DELIVERIES = 100
"""An event delivered this often without an end has taken the process down with it each time.

Deliveries by processes that are gone, and in which the event only had to wait, cannot be told from
those: which is why it is so many, and one more for each ``PUT_OFF_EVERY`` or
``LONGEST_PLACES_PAUSE`` that an event is old where events are put off or wait for places. So what
ends the process no more often than that is not found by this.
"""

PUT_OFF_EVERY = 15.0  # seconds; what waits behind its tenant's others is delivered so often
FINISH_WITHIN = 5.0  # seconds that work in hand gets when the actor is asked to stop
FULL_PAUSE = 2.0  # seconds until it is tried again to say something on a full log
STORE_PAUSE = 2.0  # seconds until a blob store that is full or away is tried again
FALLBACK_PAUSE = 1.0  # seconds before an uncounted retry that names no pause of its own
FULL_PLACES_PAUSE = 15.0  # seconds until an event comes again that could not even wait for a place
PLACES_PAUSE_GROWS, LONGEST_PLACES_PAUSE = 1.5, 300.0  # times each, up to so many: 12 in an hour
MAX_REASON = 2000  # characters of a reason that are said; what an engine says has no limit
MAX_CODE = 64  # characters of a failure code

Heard = TypeVar("Heard", bound=DocumentEvent)

log = structlog.get_logger("actor")


class Occasion(Struct, frozen=True):
    """When and for the how-manieth time an event is heard; ``sequence`` is its place on the log."""

    sequence: int
    attempt: int
    stored_at: datetime


class Actor(ABC, Generic[Heard]):
    """Hears ``consumer.hears``, answers with the next event.

    ``receive`` may run twice for the same event, at the same time even: it must end the same way.
    """

    consumer: ClassVar[Consumer]

    def __init__(
        self,
        connection: Connection,
        at_once: int | None = None,
        *,
        kept_for_urgent: int = 0,
        kept_for_others: int = 0,
        places: Places | None = None,
        settled: Settled = nothing_settled,
    ) -> None:
        """Work on ``at_once`` events at a time, and on so many more that are urgent.

        With ``kept_for_others`` that is for one tenant, and so many more are worked on for others.
        Beside those, ``places`` are for events that ``needs_place``. A consumer that has to be made
        again begins behind what is ``settled``.
        """
        self._connection = connection
        self._settled = settled
        self._publisher = Publisher(connection)
        self._dead_letters = DeadLetters(self._publisher)
        self._at_once = at_once or self.consumer.at_once
        self._kept_for_urgent = kept_for_urgent
        self._kept_for_others = kept_for_others
        self._places = places
        self._failures: dict[int, int] = {}  # sequence on the log -> attempts that failed here
        self._harmless: dict[int, int] = {}  # ... -> deliveries that certainly ended no process
        self._busy: set[asyncio.Task[None]] = set()
        self._stopping = False

    @abstractmethod
    async def receive(self, heard: Heard, occasion: Occasion) -> AnyDocumentEvent | None:
        """Do the work and return what is to be said, or None if nothing is.

        :raises Retry: later; :raises StorageUnavailable: as soon as the store is back;
        :raises Reject: never, and the document has failed;
        :raises Drop: never, and the document is not touched. Any other exception counts as a
            failed attempt.
        """

    def needs_place(self, heard: Heard) -> bool:  # noqa: ARG002  # for those that have places
        """Whether an event may take long for reasons outside, and so gets a place of its own."""
        return False

    async def run(self) -> None:
        """Work until cancelled; then finish what is in hand, or hand it back."""
        consumer = self.consumer
        self._stopping = False
        usual = self._at_once + self._kept_for_others
        per_tenant = self._at_once if self._kept_for_others else None
        closed = Inbox(
            self._connection, consumer, self._at_once, self._settled, per_tenant=per_tenant
        )
        async with closed.open() as inbox:
            workers = [
                asyncio.create_task(
                    self._work(inbox, only_urgent=number >= usual),
                    name=f"{consumer.name} {number}",
                )
                for number in range(usual + self._kept_for_urgent)
            ]
            try:
                # Not gather: cancelling it would cancel the work in hand before it had its grace.
                ended, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
                for worker in ended:
                    worker.result()
            finally:
                await self._stop(workers)

    async def _stop(self, workers: list[asyncio.Task[None]]) -> None:
        self._stopping = True
        for worker in workers:
            if worker not in self._busy:
                worker.cancel()
        working = [*workers, *(self._places.empty() if self._places else ())]
        _, unfinished = await asyncio.wait(working, timeout=FINISH_WITHIN)
        for worker in unfinished:
            worker.cancel()
        await asyncio.gather(*working, return_exceptions=True)

    async def _work(self, inbox: Inbox, *, only_urgent: bool) -> None:
        me = asyncio.current_task()
        assert me is not None  # a coroutine of a task has one
        while not self._stopping:
            delivery = await inbox.take(only_urgent=only_urgent)
            self._busy.add(me)
            try:
                await self._handle(delivery, inbox)
            finally:
                self._busy.discard(me)
                structlog.contextvars.clear_contextvars()

    async def _handle(self, delivery: Delivery, inbox: Inbox) -> None:
        """Handle a delivery and let it go, or see to it that both is done in a place of its own."""
        try:
            event = self._read(delivery)
        except wire.Malformed as error:
            work = self._bury(delivery, f"malformed event: {error}")
        else:
            if self._places is None or not self.needs_place(event):  # type: ignore[arg-type]
                work = self._judge(event, delivery)
            elif self._enter_place(self._places, event, delivery, inbox):
                return
            else:
                pause = FULL_PLACES_PAUSE * PLACES_PAUSE_GROWS ** min(delivery.attempt - 1, 10)
                after = min(pause, LONGEST_PLACES_PAUSE)
                verdict = Retry("too many wait for a place", after=after, counted=False)
                work = self._try_later(event, delivery, verdict)
        await self._finish(work, delivery, inbox)

    def _enter_place(
        self, places: Places, event: DocumentEvent, delivery: Delivery, inbox: Inbox
    ) -> bool:
        """Have the event handled in a place; the inbox holds it on the log until then."""

        async def work() -> None:
            await self._finish(self._judge(event, delivery), delivery, inbox)

        rank = LANES.index(lane_of(event.priority))
        return places.enter(event.tenant, work, rank=rank, size=len(delivery.body))

    async def _finish(
        self, work: Coroutine[Any, Any, None], delivery: Delivery, inbox: Inbox
    ) -> None:
        """Do the work on a delivery, whatever comes of it, and let it go."""
        structlog.contextvars.bind_contextvars(actor=self.consumer.name, attempt=delivery.attempt)
        try:
            await work
        except (BusUnavailable, BusFull) as error:
            # Nothing can be said, not even that it failed: the log will deliver it again.
            self._note_harmless(delivery)
            log.warning("bus lost while working", error=str(error))
        except Exception:
            # Nor can this be: but an event that can be neither answered nor given up must not end
            # the actor, and with it the work on all others.
            log.exception("no verdict could be given", sequence=delivery.sequence)
        # Not when cancelled: what is not let go is handed back when the inbox closes.
        inbox.let_go(delivery)

    def _read(self, delivery: Delivery) -> DocumentEvent:
        event = wire.decode(delivery.subject, delivery.body)
        if not isinstance(event, self.consumer.hears):
            raise wire.Malformed(f"{type(event).__name__} is not heard here")
        return event

    async def _judge(self, event: DocumentEvent, delivery: Delivery) -> None:
        structlog.contextvars.bind_contextvars(document_id=event.document_id)
        self._note_harmless(delivery, delivery.put_off)
        deaths = self._deaths(event, delivery)
        if deaths >= MAX_DELIVERIES:
            reason = f"The document ended the converter {deaths} times."
            await self._give_up(event, delivery, Reject("crashed", reason, retryable=True))
            return
        try:
            answer = await self._receive_in_place(event, delivery)
        except Drop as verdict:
            await self._bury(delivery, verdict.reason)
        except Reject as verdict:
            await self._give_up(event, delivery, verdict)
        except Retry as verdict:
            await self._try_later(event, delivery, verdict)
        except (BusUnavailable, BusFull):
            raise
        except Exception as error:
            log.exception("attempt failed")
            await self._try_later(event, delivery, Retry(f"{type(error).__name__}: {error}"))
        else:
            failpoints.reach("actor.answered")
            try:
                if answer is not None:
                    await self._say(answer)
            except EventTooLarge as error:
                await self._try_later(event, delivery, Retry(f"the answer is too large: {error}"))
                return
            failpoints.reach("actor.said")
            await delivery.ack()
            failpoints.reach("actor.acknowledged")
            self._forget(delivery)

    def _note_harmless(self, delivery: Delivery, times: int = 1) -> None:
        """Note deliveries of an event that were given back, or lost with the bus, by this process.

        Those that were put off are reported once, with the delivery that follows them.
        """
        if times:
            sequence = delivery.sequence
            self._harmless[sequence] = self._harmless.get(sequence, 0) + times

    def _deaths(self, event: DocumentEvent, delivery: Delivery) -> int:
        """Count the deliveries after which this process, or one before it, may have died."""
        deaths = delivery.attempt - 1 - self._harmless.get(delivery.sequence, 0)
        # Nor those in which it was put off or waited for a place, by processes that are gone.
        pause = PUT_OFF_EVERY if self._kept_for_others else None
        if self._places is not None and self.needs_place(event):  # type: ignore[arg-type]
            pause = LONGEST_PLACES_PAUSE
        if pause is not None:
            age = (datetime.now(UTC) - delivery.stored_at).total_seconds()
            deaths -= max(0, int(age / pause))
        return deaths

    async def _receive_in_place(
        self, event: DocumentEvent, delivery: Delivery
    ) -> AnyDocumentEvent | None:
        """Repeat what was ended from outside without giving the delivery back meanwhile."""
        attempt = delivery.attempt - delivery.put_off
        occasion = Occasion(delivery.sequence, attempt, delivery.stored_at)
        while True:
            try:
                return await self.receive(event, occasion)  # type: ignore[arg-type]  # checked above
            except Retry as verdict:
                if verdict.counted or not verdict.held:
                    raise
                log.warning("retrying", reason=verdict.reason)
                await asyncio.sleep(verdict.after or FALLBACK_PAUSE)
            except StorageUnavailable as error:
                # Every document needs the store: to give this one back would only bring the next.
                log.warning("retrying", reason=str(error))
                await asyncio.sleep(STORE_PAUSE)
            except asyncio.CancelledError:
                me = asyncio.current_task()
                if me is None or me.cancelling():
                    raise
                # Something the work waited for was cancelled, not the work: without this the
                # worker would end, unnoticed, and its place would stay empty.
                raise Retry("what the work waited for was cancelled") from None

    async def _try_later(self, event: DocumentEvent, delivery: Delivery, verdict: Retry) -> None:
        if not verdict.counted:
            self._note_harmless(delivery)
            after = verdict.after or FALLBACK_PAUSE
            log.warning("not now, will retry", reason=verdict.reason, after=after)
            await delivery.nak(after)
            return
        failures = self._failures.get(delivery.sequence, 0) + 1
        steps = self.consumer.retry_after
        if failures > len(steps):
            log.warning("given up", reason=verdict.reason)
            if verdict.code is not None:
                final = Reject(verdict.code, verdict.reason, retryable=True)
            else:
                reason = f"The conversion failed {failures} times and was given up."
                final = Reject("gave_up", reason, retryable=True)
            await self._give_up(event, delivery, final, verdict.reason)
            return
        self._failures[delivery.sequence] = failures
        after = steps[failures - 1] if verdict.after is None else verdict.after
        log.warning("attempt failed, will retry", reason=verdict.reason, after=after)
        await delivery.nak(after)

    async def _give_up(
        self, event: DocumentEvent, delivery: Delivery, verdict: Reject, cause: str | None = None
    ) -> None:
        failures = self._failures.get(delivery.sequence, 0)
        await self._dead_letters.bury(
            self.consumer.name, delivery, f"{verdict.code}: {cause or verdict.reason}"
        )
        failpoints.reach("actor.buried")
        await self._say(
            DocumentFailed(
                document_id=event.document_id,
                tenant=event.tenant,
                priority=event.priority,
                requeues=event.requeues,
                code=_sayable(verdict.code, MAX_CODE),
                reason=_sayable(verdict.reason, MAX_REASON),
                retryable=verdict.retryable,
                attempts=failures + 1,
            )
        )
        await delivery.ack()
        self._forget(delivery)
        log.info("document failed", code=verdict.code, reason=verdict.reason)

    async def _bury(self, delivery: Delivery, reason: str) -> None:
        log.warning(
            "dead letter", reason=reason, sequence=delivery.sequence, subject=delivery.subject
        )
        await self._dead_letters.bury(self.consumer.name, delivery, reason)
        await delivery.ack()
        self._forget(delivery)

    def _forget(self, delivery: Delivery) -> None:
        self._failures.pop(delivery.sequence, None)
        self._harmless.pop(delivery.sequence, None)

    async def _say(self, event: AnyDocumentEvent) -> None:
        while True:
            try:
                await self._publisher.say(event)
            except BusFull as error:
                log.warning("log is full, waiting", error=str(error))
            except BusUnavailable as error:
                # While the server is there, the delivery is held: on a full disk it takes nothing
                # for as long as that lasts, and the work would be done anew every few seconds.
                if not self._connection.connected:
                    raise
                log.warning("log takes nothing, waiting", error=str(error))
            else:
                return
            await asyncio.sleep(FULL_PAUSE)


def _sayable(text: str, most: int) -> str:
    """Make a text fit for an event, whatever a damaged document has put into it."""
    return text[:most].encode(errors="replace").decode()
