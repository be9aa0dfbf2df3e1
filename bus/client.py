"""A NATS client that no message on the log can stop from reading.

nats-py 2.16 ends its read loop, and with it all subscriptions of a process, on a message whose
header is shorter than its own first line or whose subject is not UTF-8; it loses its place in the
stream of bytes on a subject with a control character in it; and it closes for ever on most errors
of the server. The server stores such messages, and any client that may publish can send one.
On uvloop it ends its reconnection for ever when the server resets a connection that is being made.
"""

import asyncio
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import nats.aio.client
import nats.errors
import nats.protocol.parser
from nats.aio.client import Client, __version__
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport

_REPLACED = ("MSG_RE", "HMSG_RE")
_WHITESPACE, _TOKEN = (
    rb"[ \t]+",
    rb"([^ \t\n]+)",
)  # as the server itself parses them
_MSG_LINE = (
    rb"MSG"
    + _WHITESPACE
    + _TOKEN
    + _WHITESPACE
    + _TOKEN
    + _WHITESPACE
    + rb"("
    + _TOKEN
    + _WHITESPACE
    + rb")?"
)

if not __version__.startswith("2.16.") or not all(
    isinstance(getattr(nats.protocol.parser, name, None), re.Pattern) for name in _REPLACED
):
    # With another parser the patterns below would replace nothing, without a sign.
    raise ImportError(f"nats-py {__version__} is installed; bus/client.py needs 2.16")
nats.protocol.parser.MSG_RE = re.compile(rb"\A" + _MSG_LINE + rb"(\d+)\r\n")
nats.protocol.parser.HMSG_RE = re.compile(
    rb"\AH" + _MSG_LINE + rb"(\d+)" + _WHITESPACE + rb"(\d+)\r\n"
)


class DroppingTransport(TcpTransport):
    """Drops what is written to a broken connection, as asyncio does, on uvloop as well.

    The next ``drain`` or ``read`` raises the cause, an ``OSError``, after which the client
    reconnects. uvloop raises a ``RuntimeError`` at the write, which would end its tasks.
    """

    def write(self, payload: bytes) -> None:
        with suppress(RuntimeError):
            super().write(payload)  # type: ignore[no-untyped-call]

    def writelines(self, payload: Iterable[bytes]) -> None:
        with suppress(RuntimeError):
            super().writelines(payload)  # type: ignore[no-untyped-call]


nats.aio.client.TcpTransport = DroppingTransport  # type: ignore[attr-defined]


class TolerantClient(Client):
    """Passes on messages it cannot parse as far as possible, so that they become dead letters.

    With ``requires_tls`` it shows no credentials to a server without TLS, which nats-py does.
    """

    requires_tls = False

    @property
    def server_info(self) -> dict[str, Any]:
        """What the server that is connected has sent about itself."""
        return self._server_info

    @property
    def is_in_cluster(self) -> bool:
        """Whether the server is a node of a cluster."""
        return "cluster" in self.server_info

    @property
    def public_nkey(self) -> str | None:
        """The public key that goes with the signature of a challenge."""
        return self._public_nkey

    @public_nkey.setter
    def public_nkey(self, key: str | None) -> None:
        self._public_nkey = key

    async def _process_info(
        self,
        info: dict[str, object],
        initial_connection: bool = False,  # noqa: FBT001, FBT002  # the signature is the client's
    ) -> None:
        if initial_connection and self.requires_tls and not info.get("tls_required"):
            server = self._current_server
            if server is None or server.uri.scheme != "wss":
                raise nats.errors.Error("nats: the server has no TLS (tls_required)")
        await super()._process_info(info, initial_connection)

    async def close(self) -> None:
        if not self.is_connected:
            # Flushing to a closed connection would raise, and skip the rest of the cleanup.
            self._pending.clear()
            self._pending_data_size = 0
        await super().close()

    async def _close(self, status: int, do_cbs: bool = True) -> None:  # noqa: FBT001, FBT002  # likewise
        try:
            await super()._close(status, do_cbs)
        finally:
            # When this is cancelled the client counts as closed, with its connection left open.
            if self._transport:  # false until it is connected
                self._transport.close()  # type: ignore[no-untyped-call]

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        try:
            found: dict[str, str] | None = await super()._process_headers(headers)
        except (IndexError, UnicodeDecodeError):
            return None
        return found

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        readable = subject.decode(errors="replace").encode()
        message: Msg = super()._build_message(sid, readable, reply, data, headers)
        return message

    async def _process_pong(self) -> None:
        if self._pongs and self._pongs[0].done():
            # Its waiter was cancelled; the answer must not end the read loop.
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def _process_err(self, err_msg: str) -> None:
        if "permissions violation" in err_msg or not self.is_connected:
            await super()._process_err(err_msg)
        else:
            # The server closes the connection after such an error; reconnect instead of giving up.
            await self._error_cb(nats.errors.Error(f"nats: {err_msg}"))
            await self._process_op_err(nats.errors.UnexpectedEOF())


@contextmanager
def reraise_swallowed_cancellation() -> Iterator[None]:
    """Raise a cancellation of the task that the body of the context has swallowed.

    The waits of the client catch a cancellation while they clean up, and ``wait_for`` of Python
    before 3.12 loses one that arrives together with the result.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    yield
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
