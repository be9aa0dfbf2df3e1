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

from actors.backoff import Backoff
from actors.errors import MoveToDeadLetters, Reject, RetryLater
from actors.ports import StorageUnavailable
from actors.slots import FairSlots
from actors.unsupported_options import (
    UNSUPPORTED_OPTION_TIMEOUT,
    retry_or_reject,
    unsupported_options,
)
from bus import codec, failpoints
from bus.connection import Connection
from bus.consumers import LANES, Consumer, lane_for
from bus.dead_letters import DeadLetterPublisher
from bus.delivery import Delivery
from bus.errors import BusFull, BusUnavailable, EventTooLarge
from bus.inbox import FinishedUpTo, Inbox, nothing_finished
from bus.publisher import Publisher
from schemas.documents import AnyDocumentEvent, DocumentEvent, DocumentFailed

MAX_DELIVERIES = 100
"""Deliveries of an event without an outcome after which it counts as the cause of crashes.

It is large because deliveries by processes that are gone, in which the event only waited, look the
same. For those, events that can be deferred or wait for a slot get one more per pause they are old.
"""

DEFERRAL_INTERVAL = 15.0  # seconds; what waits behind its tenant's others is delivered so often
SHUTDOWN_GRACE = 5.0  # seconds that work in hand gets when the actor is asked to stop
LOG_FULL_PAUSE = 2.0  # seconds until it is tried again to say something on a full log
STORAGE_RETRY_PAUSE = 2.0  # seconds until a blob store that is full or away is tried again
DEFAULT_RETRY_PAUSE = 1.0  # seconds before an uncounted retry that names no pause of its own
# Of an event for which not even the queue for a slot has room: 12 deliveries in an hour.
SLOTS_FULL_BACKOFF = Backoff(first=15.0, factor=1.5, longest=300.0)

EventT = TypeVar("EventT", bound=DocumentEvent)

log = structlog.get_logger("actor")


class DeliveryInfo(Struct, frozen=True):
    """When and for the how-manieth time an event is heard; ``sequence`` is its place on the log."""

    sequence: int
    attempt: int
    stored_at: datetime


class Actor(ABC, Generic[EventT]):
    """Hears ``consumer.hears``, answers with the next event.

    ``receive`` may run twice for the same event, at the same time even: it must end the same way.
    """

    consumer: ClassVar[Consumer]

    def __init__(
        self,
        connection: Connection,
        concurrency: int | None = None,
        *,
        urgent_reserve: int = 0,
        other_tenants_reserve: int = 0,
        slots: FairSlots | None = None,
        ended_floor: FinishedUpTo = nothing_finished,
        unsupported_option_timeout: float = UNSUPPORTED_OPTION_TIMEOUT,
    ) -> None:
        """Work on ``at_once`` events at a time, and on so many more that are urgent.

        With ``kept_for_others`` that is for one tenant, and so many more are worked on for others.
        Beside those, ``places`` are for events that ``needs_place``. A consumer that has to be made
        again begins behind what is ``settled``.
        """
        self._connection = connection
        self._ended_floor = ended_floor
        self._publisher = Publisher(connection)
        self._dead_letters = DeadLetterPublisher(self._publisher)
        self._concurrency = concurrency or self.consumer.concurrency
        self._urgent_reserve = urgent_reserve
        self._other_tenants_reserve = other_tenants_reserve
        self._slots = slots
        self._unsupported_option_timeout = unsupported_option_timeout
        self._failures: dict[int, int] = {}  # sequence on the log -> attempts that failed here
        self._uncounted: dict[int, int] = {}  # ... -> deliveries that certainly ended no process
        self._busy: set[asyncio.Task[None]] = set()
        self._stopping = False

    @abstractmethod
    async def handle(self, event: EventT, delivery: DeliveryInfo) -> AnyDocumentEvent | None:
        """Do the work and return what is to be said, or None if nothing is.

        :raises Retry: later; :raises StorageUnavailable: as soon as the store is back;
        :raises Reject: never, and the document has failed;
        :raises Drop: never, and the document is not touched. Any other exception counts as a
            failed attempt.
        """

    def needs_slot(self, event: EventT) -> bool:  # noqa: ARG002  # for those that have places
        """Whether an event may take long for reasons outside, and so gets a place of its own."""
        return False

    def unsupported_options(self, event: EventT) -> tuple[str, ...]:
        """Return the names of options that this worker does not know: it must not ignore them."""
        return unsupported_options(event)

    async def run(self) -> None:
        """Work until cancelled; then finish what is in hand, or hand it back."""
        consumer = self.consumer
        self._stopping = False
        regular_workers = self._concurrency + self._other_tenants_reserve
        per_tenant = self._concurrency if self._other_tenants_reserve else None
        closed = Inbox(
            self._connection,
            consumer,
            self._concurrency,
            self._ended_floor,
            max_per_tenant=per_tenant,
        )
        async with closed.open() as inbox:
            workers = [
                asyncio.create_task(
                    self._worker_loop(inbox, only_urgent=number >= regular_workers),
                    name=f"{consumer.name} {number}",
                )
                for number in range(regular_workers + self._urgent_reserve)
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
        working = [*workers, *(self._slots.drain() if self._slots else ())]
        _, unfinished = await asyncio.wait(working, timeout=SHUTDOWN_GRACE)
        for worker in unfinished:
            worker.cancel()
        await asyncio.gather(*working, return_exceptions=True)

    async def _worker_loop(self, inbox: Inbox, *, only_urgent: bool) -> None:
        me = asyncio.current_task()
        assert me is not None  # a coroutine of a task has one
        while not self._stopping:
            delivery = await inbox.get(only_urgent=only_urgent)
            self._busy.add(me)
            try:
                await self._dispatch(delivery, inbox)
            finally:
                self._busy.discard(me)
                structlog.contextvars.clear_contextvars()

    async def _dispatch(self, delivery: Delivery, inbox: Inbox) -> None:
        """Handle a delivery and let it go, or see to it that both is done in a place of its own."""
        try:
            event = self._decode(delivery)
        except codec.MalformedEvent as error:
            work = self._send_to_dead_letters(delivery, f"malformed event: {error}")
        else:
            unsupported = self.unsupported_options(event)  # type: ignore[arg-type]  # as below
            if unsupported:
                work = self._hand_back(event, delivery, unsupported)
            elif self._slots is None or not self.needs_slot(event):  # type: ignore[arg-type]
                work = self._process(event, delivery)
            elif self._submit_to_slots(self._slots, event, delivery, inbox):
                return
            else:
                after = SLOTS_FULL_BACKOFF.pause(delivery.attempt - 1)
                retry = RetryLater(
                    "too many wait for a place", after=after, counts_as_attempt=False
                )
                work = self._retry_later(event, delivery, retry)
        await self._run_and_release(work, delivery, inbox)

    def _submit_to_slots(
        self, slots: FairSlots, event: DocumentEvent, delivery: Delivery, inbox: Inbox
    ) -> bool:
        """Have the event handled in a place; the inbox holds it on the log until then."""

        async def work() -> None:
            await self._run_and_release(self._process(event, delivery), delivery, inbox)

        rank = LANES.index(lane_for(event.priority))
        return slots.submit(event.tenant, work, rank=rank, size=len(delivery.body))

    async def _run_and_release(
        self, work: Coroutine[Any, Any, None], delivery: Delivery, inbox: Inbox
    ) -> None:
        """Do the work on a delivery, whatever comes of it, and let it go."""
        structlog.contextvars.bind_contextvars(actor=self.consumer.name, attempt=delivery.attempt)
        try:
            await work
        except (BusUnavailable, BusFull) as error:
            # Nothing can be said, not even that it failed: the log will deliver it again.
            self._record_uncounted(delivery)
            log.warning("bus lost while working", error=str(error))
        except Exception:
            # Nor can this be: but an event that can be neither answered nor given up must not end
            # the actor, and with it the work on all others.
            log.exception("no verdict could be given", sequence=delivery.sequence)
        # Not when cancelled: what is not let go is handed back when the inbox closes.
        inbox.release(delivery)

    def _decode(self, delivery: Delivery) -> DocumentEvent:
        event = codec.decode(delivery.subject, delivery.body)
        if not isinstance(event, self.consumer.event_type):
            raise codec.MalformedEvent(f"{type(event).__name__} is not heard here")
        return event

    async def _process(self, event: DocumentEvent, delivery: Delivery) -> None:
        structlog.contextvars.bind_contextvars(document_id=event.document_id)
        self._record_uncounted(delivery, delivery.deferrals)
        crashes = self._count_crashes(event, delivery)
        if crashes >= MAX_DELIVERIES:
            reason = f"The document ended the converter {crashes} times."
            await self._give_up(event, delivery, Reject("crashed", reason, retryable=True))
            return
        try:
            result = await self._handle_with_retries(event, delivery)
        except MoveToDeadLetters as outcome:
            await self._send_to_dead_letters(delivery, outcome.reason)
        except Reject as outcome:
            await self._give_up(event, delivery, outcome)
        except RetryLater as outcome:
            await self._retry_later(event, delivery, outcome)
        except (BusUnavailable, BusFull):
            raise
        except Exception as error:
            log.exception("attempt failed")
            await self._retry_later(event, delivery, RetryLater(f"{type(error).__name__}: {error}"))
        else:
            failpoints.reach("actor.answered")
            try:
                if result is not None:
                    await self._publish(result)
            except EventTooLarge as error:
                await self._retry_later(
                    event, delivery, RetryLater(f"the answer is too large: {error}")
                )
                return
            failpoints.reach("actor.said")
            await delivery.ack()
            failpoints.reach("actor.acknowledged")
            self._forget(delivery)

    async def _hand_back(
        self, event: DocumentEvent, delivery: Delivery, unsupported: tuple[str, ...]
    ) -> None:
        """Leave an event with unknown options to another worker, or give it up in the end."""
        self._record_uncounted(delivery, delivery.deferrals)
        timeout = self._unsupported_option_timeout
        outcome = retry_or_reject(unsupported, delivery.stored_at, delivery.attempt, timeout)
        if isinstance(outcome, Reject):
            await self._give_up(event, delivery, outcome)
        else:
            await self._retry_later(event, delivery, outcome)

    def _record_uncounted(self, delivery: Delivery, times: int = 1) -> None:
        """Note deliveries of an event that were given back, or lost with the bus, by this process.

        Those that were put off are reported once, with the delivery that follows them.
        """
        if times:
            sequence = delivery.sequence
            self._uncounted[sequence] = self._uncounted.get(sequence, 0) + times

    def _count_crashes(self, event: DocumentEvent, delivery: Delivery) -> int:
        """Count the deliveries after which this process, or one before it, may have died."""
        crashes = delivery.attempt - 1 - self._uncounted.get(delivery.sequence, 0)
        # Nor those in which it was put off or waited for a place, by processes that are gone.
        pause = DEFERRAL_INTERVAL if self._other_tenants_reserve else None
        if self._slots is not None and self.needs_slot(event):  # type: ignore[arg-type]
            pause = SLOTS_FULL_BACKOFF.longest
        if pause is not None:
            age = (datetime.now(UTC) - delivery.stored_at).total_seconds()
            crashes -= max(0, int(age / pause))
        return crashes

    async def _handle_with_retries(
        self, event: DocumentEvent, delivery: Delivery
    ) -> AnyDocumentEvent | None:
        """Repeat what was ended from outside without giving the delivery back meanwhile."""
        attempt = delivery.attempt - delivery.deferrals
        info = DeliveryInfo(delivery.sequence, attempt, delivery.stored_at)
        while True:
            try:
                return await self.handle(event, info)  # type: ignore[arg-type]  # checked above
            except RetryLater as retry:
                if retry.counts_as_attempt or not retry.in_place:
                    raise
                log.warning("retrying", reason=retry.reason)
                await asyncio.sleep(retry.after or DEFAULT_RETRY_PAUSE)
            except StorageUnavailable as error:
                # Every document needs the store: to give this one back would only bring the next.
                log.warning("retrying", reason=str(error))
                await asyncio.sleep(STORAGE_RETRY_PAUSE)
            except asyncio.CancelledError:
                me = asyncio.current_task()
                if me is None or me.cancelling():
                    raise
                # Something the work waited for was cancelled, not the work: without this the
                # worker would end, unnoticed, and its place would stay empty.
                raise RetryLater("what the work waited for was cancelled") from None

    async def _retry_later(
        self, event: DocumentEvent, delivery: Delivery, retry: RetryLater
    ) -> None:
        if not retry.counts_as_attempt:
            self._record_uncounted(delivery)
            after = retry.after or DEFAULT_RETRY_PAUSE
            log.warning("not now, will retry", reason=retry.reason, after=after)
            await delivery.nak(after)
            return
        failures = self._failures.get(delivery.sequence, 0) + 1
        steps = self.consumer.backoff
        if failures > len(steps):
            log.warning("given up", reason=retry.reason)
            if retry.code is not None:
                final = Reject(retry.code, retry.reason, retryable=True)
            else:
                reason = f"The conversion failed {failures} times and was given up."
                final = Reject("gave_up", reason, retryable=True)
            await self._give_up(event, delivery, final, retry.reason)
            return
        self._failures[delivery.sequence] = failures
        after = steps[failures - 1] if retry.after is None else retry.after
        log.warning("attempt failed, will retry", reason=retry.reason, after=after)
        await delivery.nak(after)

    async def _give_up(
        self, event: DocumentEvent, delivery: Delivery, rejection: Reject, cause: str | None = None
    ) -> None:
        failures = self._failures.get(delivery.sequence, 0)
        await self._dead_letters.publish(
            self.consumer.name, delivery, f"{rejection.code}: {cause or rejection.reason}"
        )
        failpoints.reach("actor.buried")
        await self._publish(
            DocumentFailed(
                document_id=event.document_id,
                tenant=event.tenant,
                priority=event.priority,
                requeues=event.requeues,
                code=rejection.code,
                reason=rejection.reason,
                retryable=rejection.retryable,
                attempts=failures + 1,
            )
        )
        await delivery.ack()
        self._forget(delivery)
        log.info("document failed", code=rejection.code, reason=rejection.reason)

    async def _send_to_dead_letters(self, delivery: Delivery, reason: str) -> None:
        log.warning(
            "dead letter", reason=reason, sequence=delivery.sequence, subject=delivery.subject
        )
        await self._dead_letters.publish(self.consumer.name, delivery, reason)
        await delivery.ack()
        self._forget(delivery)

    def _forget(self, delivery: Delivery) -> None:
        self._failures.pop(delivery.sequence, None)
        self._uncounted.pop(delivery.sequence, None)

    async def _publish(self, event: AnyDocumentEvent) -> None:
        while True:
            try:
                await self._publisher.publish(event)
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
            await asyncio.sleep(LOG_FULL_PAUSE)
