"""A load generator that costs little: prepared requests on raw sockets, without an event loop.

It shares two cores with the service it measures. A request costs it a send, a receive and a look
for the length of the answer; the event loop and the streams of ``bench.client`` cost several times
as much, which would bound what status reads can show.
"""

import math
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from bench.client import multipart

RECEIVED_AT_ONCE = 256 * 1024  # bytes
PATIENCE = 60.0  # seconds without any answer
ALL_AT_ONCE = math.inf
"""A rate: each connection sends its next request as soon as it has its answer."""


class Answer(Struct, frozen=True):
    """An answer and when its request was due, by the clock on the wall."""

    due: float
    seconds: float
    status: int
    body: bytes

    @property
    def document_id(self) -> str:
        """The id in the answer to a submission.

        :raises RuntimeError: the document was not accepted.
        """
        if self.status != 202:
            raise RuntimeError(f"submit answered {self.status}: {self.body!r}")
        return str(msgspec.json.decode(self.body)["id"])


class LoadGenerator:
    """Sends requests to the service at ``url`` with an API key."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._fields = f"Host: {parts.netloc}\r\nAuthorization: Bearer {key}\r\n"

    def get(self, path: str) -> bytes:
        """Return a request."""
        return f"GET {path} HTTP/1.1\r\n{self._fields}\r\n".encode()

    def post_files(self, path: str, part: str, files: list[tuple[str, bytes]]) -> bytes:
        """Return a request with files as ``multipart/form-data``."""
        content_type, body = multipart(part, files)
        head = (
            f"POST {path} HTTP/1.1\r\n{self._fields}Content-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def run(
        self, requests: Iterable[bytes], connections: int, rate: float = ALL_AT_ONCE
    ) -> list[Answer]:
        """Send all requests, so many in a second, and return the answers in the order they came.

        It blocks. At a rate, a request that no connection is free for waits, and its time counts
        from when it was due.

        :raises RuntimeError: a connection is closed, or no answer comes.
        """
        with selectors.EpollSelector() as selector:
            idle = deque(_Connection(self._address, selector) for _ in range(connections))
            opened = tuple(idle)
            try:
                return list(_exchange(_scheduled(requests, rate), selector, idle))
            finally:
                for connection in opened:
                    connection.socket.close()


class _Connection:
    """One request and its answer at a time."""

    def __init__(self, address: tuple[str, int], selector: selectors.EpollSelector) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(0)
        self._selector = selector
        self._due = 0.0
        self._left = memoryview(b"")
        self._blocked = False
        self._answer = b""
        self._length = -1  # of head and body, once the head is there
        self._body = 0
        selector.register(self.socket, selectors.EVENT_READ, self)

    def send(self, request: bytes, due: float) -> None:
        """Begin with a request."""
        self._due, self._answer, self._length = due, b"", -1
        self._left = memoryview(request)
        self.write()

    def write(self) -> None:
        """Write what the socket takes; the rest once it is ready again."""
        try:
            while self._left:
                self._left = self._left[self.socket.send(self._left) :]
        except BlockingIOError:
            pass
        if self._blocked != bool(self._left):
            self._blocked = not self._blocked
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._blocked else 0)
            self._selector.modify(self.socket, events, self)

    def read(self) -> Answer | None:
        """Read what has come; returns the answer once it is whole."""
        data = self.socket.recv(RECEIVED_AT_ONCE)
        if not data:
            raise RuntimeError("the service closed a connection")
        self._answer = data if not self._answer else self._answer + data
        if self._length < 0:
            end = self._answer.find(b"\r\n\r\n")
            if end < 0:
                return None
            head = self._answer[:end].lower()
            _, found, after = head.partition(b"\r\ncontent-length:")
            if not found:
                raise RuntimeError(f"an answer without a length: {head!r}")
            self._body = end + 4
            self._length = self._body + int(after.partition(b"\r\n")[0])
        if len(self._answer) < self._length:
            return None
        status, body = int(self._answer[9:12]), self._answer[self._body :]
        return Answer(self._due, time.time() - self._due, status, body)


def _scheduled(requests: Iterable[bytes], rate: float) -> Iterator[tuple[bytes, float]]:
    """Yield each request and when it is due; zero is at once."""
    began = time.time()
    for number, request in enumerate(requests):
        yield request, 0.0 if rate == ALL_AT_ONCE else began + number / rate


def _exchange(
    scheduled: Iterator[tuple[bytes, float]],
    selector: selectors.EpollSelector,
    idle: deque[_Connection],
) -> Iterator[Answer]:
    connections = len(idle)
    following = next(scheduled, None)
    while following is not None or len(idle) < connections:
        now = time.time()
        while idle and following is not None and following[1] <= now:
            request, due = following
            idle.popleft().send(request, due or time.time())
            following = next(scheduled, None)
        wait = PATIENCE
        if idle and following is not None:
            wait = max(following[1] - time.time(), 0.0)
        ready = selector.select(wait)
        if not ready and len(idle) < connections and wait == PATIENCE:
            raise RuntimeError(f"no answer within {PATIENCE:.0f} s")
        for key, events in ready:
            connection: _Connection = key.data
            if events & selectors.EVENT_WRITE:
                connection.write()
            if events & selectors.EVENT_READ and (answer := connection.read()) is not None:
                idle.append(connection)
                yield answer
