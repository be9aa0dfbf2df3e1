"""Pull subscription to a consumer: a bounded number of deliveries, requested or buffered.

The client's own ``fetch`` costs three to five times the CPU per message and returns in batches;
this keeps long pull requests open instead and requests more as deliveries are taken.
Protocol: NATS ADR-13 (pull subscribe internals).
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import msgspec
import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from bus import streams
from bus.connection import Connection
from bus.delivery import Delivery
from bus.errors import BusUnavailable
from bus.look_ahead import LookAhead

EXPIRES = 30.0  # seconds a pull request stays open on the server
HEARTBEAT = 2.0  # seconds between heartbeats of the server while nothing can be delivered
NODE_HEARTBEAT = 1.0  # the same in a cluster, where a request is lost with the leader
MISSED_HEARTBEATS = 2.5  # after which a request is lost and sent again
MAX_BATCH_BYTES = 4 * 1024 * 1024  # per request, so that large events do not pile up in memory
REJECTED_PAUSE = 0.25  # seconds before the next request after a rejected one
FILL_TIMEOUT = 1.0  # seconds for open requests to be filled on closing
FILL_PAUSE = 0.02  # seconds between questions whether they are
DRAIN_TIMEOUT = 2.0  # seconds for outstanding deliveries to arrive on closing

# Filled after all earlier requests, or refused by a status behind all that was sent to them.
_LAST_REQUEST = msgspec.json.encode({"batch": 1, "no_wait": True})

_IDLE_HEARTBEAT_STATUS = "100"
_REQUESTS_PENDING_STATUS = "408"  # some events are left, but fewer than were requested before
_NO_RESPONDERS_STATUS = "503"
_ACK_PREFIX = "$JS.ACK."

log = structlog.get_logger("bus")


def _do_nothing() -> None:
    """Be the callback of those who need none."""


class Pull:
    """Deliveries of one durable, at most ``capacity`` of them requested and not yet taken.

    ``on_arrival`` is called whenever there is something to take. ``look_ahead`` may request more,
    and gives back the deliveries it defers. Those that are not ``wanted`` are acknowledged at once.
    ``on_resumption`` is called when the server serves the consumer again after it did not: it may
    have sent deliveries that did not arrive.
    """

    def __init__(
        self,
        connection: Connection,
        durable: str,
        capacity: int,
        on_arrival: Callable[[], None],
        look_ahead: LookAhead | None = None,
        wanted: Callable[[Delivery], bool] | None = None,
        *,
        on_resumption: Callable[[], None] = _do_nothing,
    ) -> None:
        self._connection = connection
        self._heartbeat = NODE_HEARTBEAT if connection.in_cluster else HEARTBEAT
        self._on_resumption = on_resumption
        self._unserved_since: float | None = None
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{streams.EVENTS}.{durable}"
        self._durable = durable
        self._capacity = capacity
        self._on_arrival = on_arrival
        self._look_ahead = look_ahead
        self._wanted = wanted
        self._inbox = ""
        self._last_inbox = ""  # for the status of the request made on closing
        self._last_status = ""
        self._last_answered = asyncio.Event()
        self._outstanding = 0  # requested deliveries that have not arrived
        self._request_count = 0
        self._last_message_at = time.monotonic()
        self._request_needed = asyncio.Event()
        self._paused_until = 0.0
        self._consumer_gone = False
        self.buffer: deque[Delivery] = deque()
        self.last_sequence = 0  # the highest sequence delivered

    @property
    def durable(self) -> str:
        """The name of the durable."""
        return self._durable

    @property
    def ready(self) -> bool:
        """Whether ``pop`` has a result: a delivery, or that the consumer is gone."""
        return bool(self.buffer) or self._consumer_gone

    @property
    def consumer_gone(self) -> bool:
        """Whether the consumer is gone, which ``pop`` then raises."""
        return self._consumer_gone

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Pull"]:
        """Subscribe and request deliveries while open; those not taken stay in ``buffer``."""
        # Another inbox each time: a paused consumer still has the requests of the last one.
        self._inbox = self._connection.client.new_inbox()
        self._last_inbox = f"{self._inbox}.last"
        self._reset_requests()
        subscription = await self._connection.client.subscribe_directly(
            f"{self._inbox}.*", self._on_message
        )
        unregister = self._connection.on_reconnect(self._reset_requests)
        requesting = asyncio.create_task(self._request_loop(), name=f"pull {self._durable}")
        try:
            yield self
        finally:
            unregister()
            requesting.cancel()
            await asyncio.gather(requesting, return_exceptions=True)
            await self._drain(subscription)

    async def apply_look_ahead(self) -> None:
        """Give back the deliveries to defer, and request as many as ``look_ahead`` allows."""
        look_ahead = self._look_ahead
        if look_ahead is None or not look_ahead.extra_capacity:
            return
        if len(self.buffer) > self._capacity:
            waiting, retained = list(self.buffer), deque[Delivery]()
            for delivery in waiting:
                deferral = look_ahead.defer(delivery, retained)
                if deferral is None:
                    retained.append(delivery)
                else:  # this one: those before it are earlier on the log
                    self.buffer.remove(delivery)
                    await delivery.nak(deferral[1])
        self._request_more()

    def pop(self, chosen: Delivery | None = None) -> Delivery | None:
        """Take the chosen delivery from the buffer, else the oldest if any, and request more.

        :raises BusUnavailable: the consumer is gone and has to be created again.
        """
        if self._consumer_gone:
            raise BusUnavailable(f"the consumer {self._durable} is gone")
        if not self.buffer:
            return None
        delivery = self.buffer[0] if chosen is None else chosen
        self.buffer.remove(delivery)  # nearly always the first
        self._request_more()
        return delivery

    async def _drain(self, subscription: Subscription) -> None:
        """Withdraw all requests; deliveries sent until then still arrive in ``buffer``."""
        try:
            if self._connection.connected:
                with suppress(TimeoutError):
                    async with asyncio.timeout(FILL_TIMEOUT):
                        await self._fill_requests()
                async with asyncio.timeout(DRAIN_TIMEOUT):
                    await subscription.drain()  # type: ignore[no-untyped-call]
            else:
                await subscription.unsubscribe()
        except (nats.errors.Error, TimeoutError, OSError):
            log.warning("pull not drained", consumer=self._durable)

    async def _fill_requests(self) -> None:
        """Wait until open requests are filled, or the server has nothing left for them.

        What it counts as delivered but has not sent when the subscription ends would be dropped,
        and delivered again only after the acknowledgement deadline.
        """
        while self._outstanding:
            self._last_answered.clear()
            self._outstanding += 1
            await self._connection.client.publish(
                self._subject, _LAST_REQUEST, reply=self._last_inbox
            )
            await self._last_answered.wait()
            if self._last_status != _REQUESTS_PENDING_STATUS:
                return
            await asyncio.sleep(FILL_PAUSE)

    def _free_capacity(self) -> int:
        return self._max_capacity() - len(self.buffer) - self._outstanding

    def _max_capacity(self) -> int:
        return self._capacity + (0 if self._look_ahead is None else self._look_ahead.extra_capacity)

    def _request_more(self) -> None:
        if self._free_capacity() * 2 >= self._max_capacity():
            self._request_needed.set()

    def _on_message(self, message: Msg) -> None:
        self._last_message_at = time.monotonic()
        headers = message.headers or {}
        if self._unserved_since is not None and headers.get("Status") != _NO_RESPONDERS_STATUS:
            self._unserved_since = None
            self._connection.record_answer()
            self._on_resumption()
        # Not by its headers, which a publisher chooses: one could imitate the end of the consumer.
        if message.reply.startswith(_ACK_PREFIX):
            self._outstanding = max(0, self._outstanding - 1)
            self._receive(Delivery(self._connection.client, message))
            if not self._outstanding:
                self._last_answered.set()
        elif message.subject == self._last_inbox:
            self._outstanding = max(0, self._outstanding - 1)
            self._last_status = headers.get("Status", "")
            self._last_answered.set()
        elif (status := headers.get("Status", "")) != _IDLE_HEARTBEAT_STATUS:
            self._handle_status(status, headers)

    def _receive(self, delivery: Delivery) -> None:
        self.last_sequence = max(self.last_sequence, delivery.sequence)
        if self._wanted is not None and not self._wanted(delivery):
            delivery.ack_soon()
            self._request_more()
            return
        look_ahead = self._look_ahead
        deferral = None if look_ahead is None else look_ahead.defer(delivery, self.buffer)
        if deferral is None:
            self._buffer_in_order(delivery)
            self._on_arrival()
            return
        deferred, delay = deferral
        if deferred is not delivery:
            self.buffer.remove(deferred)
            self._buffer_in_order(delivery)
        deferred.nak_soon(delay)
        self._request_more()

    def _buffer_in_order(self, delivery: Delivery) -> None:
        """Insert by the place on the log, nearly always at the end."""
        at = len(self.buffer)
        while at and self.buffer[at - 1].sequence > delivery.sequence:
            at -= 1
        self.buffer.insert(at, delivery)

    def _handle_status(self, status: str, headers: dict[str, str]) -> None:
        """404, 408: expired; 409: filled, byte limit reached, consumer gone; 503: no responders."""
        undelivered = headers.get("Nats-Pending-Messages")
        # Deliveries do not name their request; only its end shows how many were not delivered.
        self._outstanding = max(0, self._outstanding - int(undelivered)) if undelivered else 0
        if not undelivered:  # rejected: the next one would be, too, as fast as it can be sent
            self._paused_until = time.monotonic() + REJECTED_PAUSE
        unserved = status == _NO_RESPONDERS_STATUS and self._is_unserved_too_long()
        if unserved or "Deleted" in headers.get("Description", ""):
            self._consumer_gone = True
            self._on_arrival()
        else:
            self._request_more()

    def _is_unserved_too_long(self) -> bool:
        """Whether nobody serves the consumer for longer than a cluster takes to elect a leader."""
        now = time.monotonic()
        if self._unserved_since is None:
            self._unserved_since = now
        return now - self._unserved_since >= self._connection.election_timeout

    def _reset_requests(self) -> None:
        self._outstanding = 0
        self._last_message_at = time.monotonic()
        self._request_needed.set()

    async def _request_loop(self) -> None:
        self._request_needed.set()
        while True:
            try:
                # Not wait_for: before Python 3.12 it loses a cancellation that arrives together
                # with the result, and closing would wait for ever.
                async with asyncio.timeout(self._heartbeat):
                    await self._request_needed.wait()
            except TimeoutError:
                silence = time.monotonic() - self._last_message_at
                if self._outstanding and silence > MISSED_HEARTBEATS * self._heartbeat:
                    log.warning("no heartbeat of a pull", consumer=self._durable)
                    self._unserved_since = self._unserved_since or time.monotonic()
                    self._reset_requests()
            # A loop without a pause would starve the reconnection while the server is away.
            await asyncio.sleep(max(0.0, self._paused_until - time.monotonic()))
            self._request_needed.clear()
            await self._send_request()

    async def _send_request(self) -> None:
        if self._unserved_since is not None:
            await self._connection.record_no_answer()
        batch = self._free_capacity()
        if batch <= 0 or not self._connection.connected:
            return  # the next pop or reconnect requests again
        self._request_count += 1
        reply = f"{self._inbox}.{self._request_count}"
        body = msgspec.json.encode(
            {
                "batch": batch,
                "expires": int(EXPIRES * 1e9),
                "idle_heartbeat": int(self._heartbeat * 1e9),
                "max_bytes": MAX_BATCH_BYTES,
            }
        )
        self._outstanding += batch
        self._last_message_at = time.monotonic()
        try:
            await self._connection.client.publish(self._subject, body, reply=reply)
        except (nats.errors.Error, OSError) as error:
            self._outstanding = 0
            self._paused_until = time.monotonic() + REJECTED_PAUSE
            self._request_needed.set()
            log.warning("pull request failed", consumer=self._durable, error=str(error))
