"""A standing order at one consumer: a bounded number of deliveries, on their way or waiting here.

The client's own ``fetch`` costs three to five times the CPU per message and returns in batches;
this keeps long pull requests open instead and asks for more as deliveries are taken.
Protocol: NATS ADR-13 (pull subscribe internals).
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from . import streams
from .connection import Connection
from .delivery import Delivery
from .errors import BusUnavailable
from .look_ahead import LookAhead

EXPIRES = 30.0  # seconds a pull request stays open on the server
HEARTBEAT = 2.0  # seconds between signs of life while nothing is there to deliver
SILENT_AFTER = 2.5 * HEARTBEAT  # seconds without one: the request is lost, ask anew
MAX_BATCH_BYTES = 4 * 1024 * 1024  # per request, so that large events do not pile up in memory
REFUSED_PAUSE = 0.25  # seconds before asking again after a refusal
DRAINED_WITHIN = 2.0  # seconds for what is under way to arrive when pulling ends

_IDLE_HEARTBEAT = "100"
_ACK = "$JS.ACK."

log = structlog.get_logger("bus")


class Pull:
    """Deliveries of one durable, at most ``capacity`` of them granted and not yet taken.

    ``arrived`` is called whenever there is something to take. With ``ahead`` more deliveries are
    asked for while that wants them, and those it puts off are given back.
    """

    def __init__(
        self,
        connection: Connection,
        durable: str,
        capacity: int,
        arrived: Callable[[], None],
        ahead: LookAhead | None = None,
    ) -> None:
        self._connection = connection
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{streams.EVENTS}.{durable}"
        self._durable = durable
        self._capacity = capacity
        self._arrived = arrived
        self._ahead = ahead
        self._inbox = connection.client.new_inbox()
        self._granted = 0  # deliveries asked for that have not come yet
        self._requested = 0
        self._heard_at = time.monotonic()
        self._wanted = asyncio.Event()
        self._not_before = 0.0
        self._gone = False
        self.waiting: deque[Delivery] = deque()
        self.newest = 0  # the farthest place on the log that was delivered

    @property
    def ready(self) -> bool:
        """Whether ``take`` has something to say: a delivery, or that the consumer is gone."""
        return bool(self.waiting) or self._gone

    @property
    def gone(self) -> bool:
        """Whether the consumer is gone, which ``take`` then tells."""
        return self._gone

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Pull"]:
        """Subscribe and keep asking while open; what was not taken stays in ``waiting``."""
        subscription = await self._connection.client.subscribe(
            f"{self._inbox}.*", cb=self._on_message
        )
        forget = self._connection.on_reconnect(self._ask_anew)
        asking = asyncio.create_task(self._keep_asking(), name=f"pull {self._durable}")
        try:
            yield self
        finally:
            forget()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await self._end(subscription)

    async def reach_out(self) -> None:
        """Give back what waits in vain, and ask for as much as ``ahead`` wants to see."""
        ahead = self._ahead
        if ahead is None or not ahead.beyond:
            return
        if len(self.waiting) > self._capacity:
            waiting, kept = list(self.waiting), deque[Delivery]()
            for delivery in waiting:
                after = ahead.puts_off(delivery, kept)
                if after is None:
                    kept.append(delivery)
                else:
                    self.waiting.remove(delivery)
                    await delivery.nak(after)
        self._ask_for_more()

    def take(self, chosen: Delivery | None = None) -> Delivery | None:
        """Take the chosen waiting delivery, else the oldest if there is one, and ask for more.

        :raises BusUnavailable: the consumer is gone; whoever made it has to make it again.
        """
        if self._gone:
            raise BusUnavailable(f"the consumer {self._durable} is gone")
        if not self.waiting:
            return None
        delivery = self.waiting[0] if chosen is None else chosen
        self.waiting.remove(delivery)  # the first, nearly always
        self._ask_for_more()
        return delivery

    async def _end(self, subscription: Subscription) -> None:
        """Withdraw all requests; what was under way until then still arrives in ``waiting``."""
        try:
            if self._connection.connected:
                async with asyncio.timeout(DRAINED_WITHIN):
                    await subscription.drain()  # type: ignore[no-untyped-call]
            else:
                await subscription.unsubscribe()
        except (nats.errors.Error, TimeoutError, OSError):
            log.warning("pull not drained", consumer=self._durable)

    def _room(self) -> int:
        return self._most() - len(self.waiting) - self._granted

    def _most(self) -> int:
        return self._capacity + (0 if self._ahead is None else self._ahead.beyond)

    def _ask_for_more(self) -> None:
        if self._room() * 2 >= self._most():
            self._wanted.set()

    async def _on_message(self, message: Msg) -> None:
        self._heard_at = time.monotonic()
        headers = message.headers or {}
        # Not by its headers, which are the publisher's: one could announce the consumer's end.
        if message.reply.startswith(_ACK):
            self._granted = max(0, self._granted - 1)
            await self._came(Delivery(self._connection.client, message))
        elif (status := headers.get("Status", "")) != _IDLE_HEARTBEAT:
            self._request_ended(status, headers)

    async def _came(self, delivery: Delivery) -> None:
        self.newest = max(self.newest, delivery.sequence)
        after = None if self._ahead is None else self._ahead.puts_off(delivery, self.waiting)
        if after is None:
            self.waiting.append(delivery)
            self._arrived()
            return
        await delivery.nak(after)
        self._ask_for_more()

    def _request_ended(self, status: str, headers: dict[str, str]) -> None:
        """404, 408: expired; 409: filled, byte limit reached, consumer gone; 503: nobody there."""
        undelivered = headers.get("Nats-Pending-Messages")
        # A delivery does not say which request it answers, only a request's end what it left open.
        self._granted = max(0, self._granted - int(undelivered)) if undelivered else 0
        if not undelivered:  # refused outright: it would be again, as fast as we can ask
            self._not_before = time.monotonic() + REFUSED_PAUSE
        if status == "503" or "Deleted" in headers.get("Description", ""):
            self._gone = True
            self._arrived()
        else:
            self._ask_for_more()

    def _ask_anew(self) -> None:
        self._granted = 0
        self._heard_at = time.monotonic()
        self._wanted.set()

    async def _keep_asking(self) -> None:
        self._wanted.set()
        while True:
            try:
                # Not wait_for: before Python 3.12 it forgets that it was cancelled when what it
                # waits for comes at the same moment, and whoever closes this waits for ever.
                async with asyncio.timeout(HEARTBEAT):
                    await self._wanted.wait()
            except TimeoutError:
                if self._granted and time.monotonic() - self._heard_at > SILENT_AFTER:
                    log.warning("pull went silent", consumer=self._durable)
                    self._ask_anew()
            # Never in a tight loop: one that spins while the server is away starves the
            # reconnection itself.
            await asyncio.sleep(max(0.0, self._not_before - time.monotonic()))
            self._wanted.clear()
            await self._ask()

    async def _ask(self) -> None:
        room = self._room()
        if room <= 0 or not self._connection.connected:
            return  # the next take, or the reconnect, asks again
        self._requested += 1
        reply = f"{self._inbox}.{self._requested}"
        body = msgspec.json.encode(
            {
                "batch": room,
                "expires": int(EXPIRES * 1e9),
                "idle_heartbeat": int(HEARTBEAT * 1e9),
                "max_bytes": MAX_BATCH_BYTES,
            }
        )
        self._granted += room
        self._heard_at = time.monotonic()
        try:
            await self._connection.client.publish(self._subject, body, reply=reply)
        except (nats.errors.Error, OSError) as error:
            self._granted = 0
            self._not_before = time.monotonic() + REFUSED_PAUSE
            self._wanted.set()
            log.warning("pull refused", consumer=self._durable, error=str(error))
