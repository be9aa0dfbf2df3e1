"""A NATS client with fewer steps of the event loop for each message.

nats-py passes each message through a queue to a task of its subscription, wakes another task for
each write, and starts a timer with several objects for each reply. Here messages are passed on by
the task that reads them, all that is published in one turn of the loop is written at its end, and
a request costs one future and one timer.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport, Transport
from nats.protocol.command import pub_cmd

from bus.client import TolerantClient, reraise_swallowed_cancellation

_DELIVERY_PREFIX = b"$JS.ACK."
_NO_RESPONDERS = "503"
RAW_HEADERS = ""
"""Name under which a delivery has its headers, unparsed."""

MessageCallback = Callable[[Msg], None]
"""Called with a message by the task that reads the connection: it must not take long."""


class LeanClient(TolerantClient, Client):
    """Has ``subscribe_directly``, and a ``request`` and writes of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._callbacks: dict[int, MessageCallback] = {}  # by number of the subscription
        self._replies: dict[str, asyncio.Future[Msg]] = {}  # by subject
        self._reply_prefix = ""
        self._request_count = 0
        self._write_scheduled = False

    async def subscribe_directly(
        self, subject: str, callback: MessageCallback, queue: str = ""
    ) -> Subscription:
        """Subscribe without a queue: the callback has returned before the next message is read.

        Messages that are delivered by a consumer have one entry in ``headers``: all of them
        unparsed, under ``RAW_HEADERS``.
        """

        async def on_queued(message: Msg) -> None:
            callback(message)

        subscription = await self.subscribe(subject, queue, cb=on_queued)
        self._callbacks[subscription._id] = callback  # noqa: SLF001  # messages only name this
        return subscription

    def publish_soon(self, subject: str, payload: bytes) -> None:
        """Publish at the end of this turn of the loop, or after the reconnect.

        The subject has to be one that the server has sent, which is not checked.

        :raises nats.errors.Error: the connection is closed, or too much waits for the reconnect.
        """
        if self.is_closed:
            raise nats.errors.ConnectionClosedError
        command = pub_cmd(subject, "", payload)
        size = self._pending_data_size + len(command)
        if not self.is_connected and size > self._max_pending_size:
            raise nats.errors.OutboundBufferLimitError
        self._pending.append(command)
        self._pending_data_size = size
        self._schedule_write()

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,  # noqa: ASYNC109  # the signature is the client's
        old_style: bool = False,  # noqa: ARG002, FBT001, FBT002  # likewise
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        if not self._reply_prefix:
            self._reply_prefix = f"{self.new_inbox()}."
            await self.subscribe_directly(f"{self._reply_prefix}*", self._on_reply)
        self._request_count += 1
        inbox = f"{self._reply_prefix}{self._request_count}"
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Msg] = loop.create_future()
        self._replies[inbox] = reply
        try:
            await self.publish(subject, payload, reply=inbox, headers=headers)
            timer = loop.call_later(timeout, _expire, reply)
            try:
                message = await reply
            finally:
                timer.cancel()
        finally:
            del self._replies[inbox]
        if message.headers and message.headers.get("Status") == _NO_RESPONDERS:
            raise nats.errors.NoRespondersError
        return message

    async def flush(self, timeout: int = 10) -> None:  # noqa: ASYNC109  # likewise
        # The client writes its PING at once: what is pending would follow it.
        await self._flush_pending(force_flush=True)
        await super().flush(timeout)

    async def _attempt_reconnect(self) -> None:
        # Their replies went with the connection; their callers may ask again once it is back.
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(nats.errors.Error("nats: the connection was interrupted"))
        await super()._attempt_reconnect()

    def _on_reply(self, message: Msg) -> None:
        reply = self._replies.get(message.subject)
        if reply is not None and not reply.done():
            reply.set_result(message)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:  # without headers they are None, whatever the annotation of the client
        callback = self._callbacks.get(sid)
        if callback is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        parsed: dict[str, str] | None = None
        if headers and reply.startswith(_DELIVERY_PREFIX):
            # They are its publisher's, and seldom read.
            parsed = {RAW_HEADERS: headers.decode("latin-1")}
        elif headers:
            parsed = await self._process_headers(headers)
        try:
            callback(self._build_message(sid, subject, reply, data, parsed))
        except Exception as error:  # noqa: BLE001  # of one message: the reading of all goes on
            await self._error_cb(error)

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        self._callbacks.pop(sid, None)
        super()._remove_sub(sid, max_msgs)

    async def _flush_pending(self, force_flush: bool = False) -> object:  # noqa: FBT001, FBT002
        if force_flush or not self.is_connected:
            with reraise_swallowed_cancellation():
                return await super()._flush_pending(force_flush)
        self._schedule_write()
        return None

    def _schedule_write(self) -> None:
        if not self._write_scheduled:
            self._write_scheduled = True
            asyncio.get_running_loop().call_soon(self._write_pending)

    def _write_pending(self) -> None:
        """Write what is pending, or wake the task that waits until the server takes more."""
        self._write_scheduled = False
        if not self.is_connected or not self._pending:
            return  # it is sent after the reconnect
        if _is_idle(self._transport):
            assert self._transport is not None
            self._transport.writelines(self._pending)
            self._pending = []
            self._pending_data_size = 0
        elif self._flush_queue is not None and self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())


def _is_idle(transport: Transport | None) -> bool:
    """Whether the server has taken all that was written."""
    if not isinstance(transport, TcpTransport):
        return False
    writer = transport._io_writer  # noqa: SLF001  # nothing public shows it
    if writer is None or writer.transport.is_closing():
        return False
    return not writer.transport.get_write_buffer_size()


def _expire(reply: "asyncio.Future[Msg]") -> None:
    if not reply.done():
        reply.set_exception(nats.errors.TimeoutError())
