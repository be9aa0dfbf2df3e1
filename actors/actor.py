"""Base class of actors that consume one type of event and publish the next.

An actor declares its ``consumer`` and one ``handle``. The base class takes and decodes deliveries,
publishes the result and *then* acknowledges, and it retries or rejects failures.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar

import structlog
from msgspec.structs import replace

from actors.attempts import Attempts, SharedCounts
from actors.backoff import Backoff
from actors.errors import (
    UNSUPPORTED_OPTION_TIMEOUT,
    MoveToDeadLetters,
    Reject,
    RetryLater,
    retry_or_reject,
    unsupported_options,
)
from actors.ports import StorageUnavailable
from actors.slots import FairSlots
from bus import codec, failpoints
from bus.connection import Connection
from bus.consumers import LANES, Consumer, lane_for
from bus.dead_letters import DeadLetterPublisher
from bus.delivery import Delivery, DeliveryInfo
from bus.errors import BusFull, BusUnavailable, EventTooLarge, Superseded
from bus.inbox import FinishedUpTo, Inbox, nothing_finished
from bus.intake import Intake
from bus.publisher import Publisher
from schemas.documents import AnyDocumentEvent, DocumentEvent, DocumentFailed, LabelledEvent

MAX_DELIVERIES = 100
"""Deliveries without an outcome after which an event counts as the cause of crashes. Large, because
deliveries by former processes in which the event only waited look the same."""

DEFERRAL_INTERVAL = 15.0  # seconds between deliveries of an event that waits behind its tenant's
SHUTDOWN_GRACE = 5.0  # seconds that work in progress gets when the actor stops
LOG_FULL_PAUSE = 2.0  # seconds between attempts to publish on a full log
STORAGE_RETRY_PAUSE = 2.0  # seconds between attempts at a full or unavailable blob store
DEFAULT_RETRY_PAUSE = 1.0  # seconds before an uncounted retry without its own pause
# Of an event for which not even the queue for a slot has room: 12 deliveries in an hour.
SLOTS_FULL_BACKOFF = Backoff(first=15.0, factor=1.5, longest=300.0)

EventT = TypeVar("EventT", bound=DocumentEvent)

log = structlog.get_logger("actor")


class Actor(ABC, Generic[EventT]):
    """Consumes events of ``consumer.event_type`` and publishes what ``handle`` returns.

    ``handle`` may run twice for an event, even at the same time, and must have the same outcome.
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
        counts: SharedCounts | None = None,
        intake: Intake | None = None,
    ) -> None:
        """Handle ``concurrency`` events at a time, and ``urgent_reserve`` more that are urgent.

        With ``other_tenants_reserve`` a tenant has at most ``concurrency``, and so many more are
        for others. Events that ``needs_slot`` are handled in ``slots`` instead. A consumer that has
        to be created again begins after ``ended_floor``. ``counts`` is for several hosts.
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
        self._attempts, self._shared = Attempts(self.consumer.name, counts), counts is not None
        self._intake = intake or Intake()
        self._uncounted: dict[int, int] = {}  # sequence on the log -> deliveries without a crash
        self._busy: set[asyncio.Task[None]] = set()
        self._stopping = False

    @abstractmethod
    async def handle(self, event: EventT, delivery: DeliveryInfo) -> AnyDocumentEvent | None:
        """Do the work and return the event to publish, or None.

        Any other exception than these counts as a failed attempt.

        :raises RetryLater: the event is to be delivered again later.
        :raises StorageUnavailable: the work is repeated as soon as the store is available.
        :raises Reject: the document fails.
        :raises MoveToDeadLetters: the event becomes a dead letter; the document is not changed.
        """

    def needs_slot(self, event: EventT) -> bool:  # noqa: ARG002  # for subclasses with slots
        """Whether an event may take long for external reasons and is handled in a slot."""
        return False

    async def clean_up(self, event: DocumentEvent, delivery: Delivery) -> None:
        """Remove what the work on an event needed, once it has its outcome. Must not raise."""

    def unsupported_options(self, event: EventT) -> tuple[str, ...]:
        """Return the names of options that this worker does not support and must not ignore."""
        return unsupported_options(event)

    async def run(self) -> None:
        """Work until cancelled; then finish the work in progress, or give it back."""
        consumer = self.consumer
        self._stopping = False
        regular_workers = self._concurrency + self._other_tenants_reserve
        per_tenant = self._concurrency if self._other_tenants_reserve else None
        args = (self._connection, consumer, self._concurrency, self._ended_floor)
        closed = Inbox(*args, max_per_tenant=per_tenant, intake=self._intake, shared=self._shared)
        async with closed.open() as inbox:
            workers = [
                asyncio.create_task(
                    self._worker_loop(inbox, only_urgent=number >= regular_workers),
                    name=f"{consumer.name} {number}",
                )
                for number in range(regular_workers + self._urgent_reserve)
            ]
            try:
                # Not gather: cancelling it would cancel the work before the grace period.
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
        """Handle and release a delivery, or submit it to the slots."""
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
                    "too many events wait for a slot", after=after, counts_as_attempt=False
                )
                work = self._retry_later(event, delivery, retry)
        await self._run_and_release(work, delivery, inbox)

    def _submit_to_slots(
        self, slots: FairSlots, event: DocumentEvent, delivery: Delivery, inbox: Inbox
    ) -> bool:
        """Submit the event to the slots; the inbox renews its deadline until then."""

        async def work() -> None:
            await self._run_and_release(self._process(event, delivery), delivery, inbox)

        rank = LANES.index(lane_for(event.priority))
        return slots.submit(event.tenant, work, rank=rank, size=len(delivery.body))

    async def _run_and_release(
        self, work: Coroutine[Any, Any, None], delivery: Delivery, inbox: Inbox
    ) -> None:
        """Do the work on a delivery, whatever its outcome, and release the delivery."""
        delivery.bind_trace()
        structlog.contextvars.bind_contextvars(actor=self.consumer.name, attempt=delivery.attempt)
        try:
            await work
        except (BusUnavailable, BusFull) as error:
            # Nothing can be published, not even a failure: the log will deliver the event again.
            self._record_uncounted(delivery)
            log.warning("bus unavailable during work", error=str(error))
        except Exception:
            # An event with neither result nor failure must not end the actor, and with it the work
            # on all other events.
            log.exception("no outcome for an event", sequence=delivery.sequence)
        # Not when cancelled: a closing inbox gives back what was not released.
        inbox.release(delivery)

    def _decode(self, delivery: Delivery) -> DocumentEvent:
        event = codec.decode(delivery.subject, delivery.body)
        if not isinstance(event, self.consumer.event_types):
            raise codec.MalformedEvent(f"{type(event).__name__} is not expected on this subject")
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
                    event, delivery, RetryLater(f"the result is too large: {error}")
                )
                return
            failpoints.reach("actor.published")
            await self._end(event, delivery)

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
        """Record deliveries that this process gave back, deferred, or lost with the bus."""
        if times:
            sequence = delivery.sequence
            self._uncounted[sequence] = self._uncounted.get(sequence, 0) + times

    def _count_crashes(self, event: DocumentEvent, delivery: Delivery) -> int:
        """Count the deliveries during which this process, or one before it, may have crashed."""
        crashes = delivery.attempt - 1 - self._uncounted.get(delivery.sequence, 0)
        # Without those that former processes deferred, or gave back for want of a slot.
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
        """Handle an event, and repeat interrupted work without giving the delivery back."""
        attempt = delivery.attempt - delivery.deferrals
        info = DeliveryInfo(delivery.sequence, attempt, delivery.stored_at, delivery.is_first)
        while True:
            try:
                return await self.handle(event, info)  # type: ignore[arg-type]  # checked above
            except RetryLater as retry:
                if retry.counts_as_attempt or not retry.in_place:
                    raise
                log.warning("retrying", reason=retry.reason)
                await asyncio.sleep(retry.after or DEFAULT_RETRY_PAUSE)
            except StorageUnavailable as error:
                # Every document needs the store: giving this one back would only bring the next.
                log.warning("retrying", reason=str(error))
                await asyncio.sleep(STORAGE_RETRY_PAUSE)
            except asyncio.CancelledError:
                me = asyncio.current_task()
                if me is None or me.cancelling():
                    raise
                # Not the work was cancelled, but something it waited for: without this the worker
                # would end unnoticed.
                raise RetryLater("a task of the work was cancelled") from None

    async def _retry_later(
        self, event: DocumentEvent, delivery: Delivery, retry: RetryLater
    ) -> None:
        if not retry.counts_as_attempt:
            self._record_uncounted(delivery)
            after = retry.after or DEFAULT_RETRY_PAUSE
            log.warning("event given back", reason=retry.reason, after=after)
            await delivery.nak(after)
            return
        tally = await self._attempts.read(delivery)
        failures = tally.failures + 1
        steps = self.consumer.backoff
        if failures > len(steps):
            log.warning("event given up", reason=retry.reason)
            if retry.code is not None:
                final = Reject(retry.code, retry.reason, retryable=True)
            else:
                reason = f"The conversion failed {failures} times and was given up."
                final = Reject("gave_up", reason, retryable=True)
            await self._give_up(event, delivery, final, retry.reason)
            return
        await self._attempts.record(delivery, replace(tally, failures=failures))
        after = steps[failures - 1] if retry.after is None else retry.after
        log.warning("attempt failed", reason=retry.reason, after=after)
        await delivery.nak(after)

    async def _give_up(
        self, event: DocumentEvent, delivery: Delivery, rejection: Reject, cause: str | None = None
    ) -> None:
        failures = (await self._attempts.read(delivery)).failures
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
                reference=event.reference if isinstance(event, LabelledEvent) else None,
                metadata=event.metadata if isinstance(event, LabelledEvent) else None,
            )
        )
        await self._end(event, delivery)
        log.info("document failed", code=rejection.code, reason=rejection.reason)

    async def _send_to_dead_letters(self, delivery: Delivery, reason: str) -> None:
        log.warning(
            "dead letter", reason=reason, sequence=delivery.sequence, subject=delivery.subject
        )
        await self._dead_letters.publish(self.consumer.name, delivery, reason)
        await self._end(None, delivery)

    async def _end(self, event: DocumentEvent | None, delivery: Delivery) -> None:
        await delivery.ack()
        failpoints.reach("actor.acknowledged")
        self._attempts.forget(delivery)
        self._uncounted.pop(delivery.sequence, None)
        if event is not None:
            await self.clean_up(event, delivery)

    async def _publish(self, event: AnyDocumentEvent) -> None:
        while True:
            try:
                await self._publisher.publish(event)
            except BusFull as error:
                log.warning("log full, waiting", error=str(error))
            except BusUnavailable as error:
                # While the server is connected the delivery is not given back: on a full disk the
                # work would otherwise be repeated every few seconds.
                if not self._connection.connected or isinstance(error, Superseded):
                    raise
                log.warning("log not writable, waiting", error=str(error))
            else:
                return
            await asyncio.sleep(LOG_FULL_PAUSE)
