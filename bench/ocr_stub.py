"""``python -m bench.ocr_stub``: an OCR API that answers at once and costs next to nothing.

Each call gets the same page. The fake of the tests reads every document and checks every request,
which would cost as much as what is measured.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import msgspec

from ilios.chaos.processes import ROOT
from ilios.runtime.child_signals import send_signal
from ilios.runtime.parent_death import die_with_parent

PAGE = {
    "index": 0,
    "markdown": "# A page\n\n" + "Some words of plain text on it. " * 60,
    "images": [],
    "dimensions": {"dpi": 200, "height": 2339, "width": 1653},
}
OCR = {
    "pages": [PAGE],
    "model": "mistral-ocr-latest",
    "usage_info": {"pages_processed": 1, "doc_size_bytes": 50 * 1024},
}
NO_FILES = {"data": [], "object": "list", "total": 0}


def response(answer: object) -> bytes:
    """Return a whole response."""
    body = msgspec.json.encode(answer)
    head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return f"HTTP/1.1 200 OK\r\n{head}".encode() + body


POST_RESPONSE, GET_RESPONSE = response(OCR), response(NO_FILES)


class OcrConnection(asyncio.Protocol):
    """Answers each call once its body is there, without looking at it; of files there are none."""

    def __init__(self) -> None:
        self._head = b""
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Skip the body, or look for its length."""
        if self._missing == 0:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._head = b""
            if head.startswith(b"GET "):
                self._transport.write(GET_RESPONSE)
                return
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._missing = int(length)
        self._missing -= len(data)
        if self._missing == 0:
            self._transport.write(POST_RESPONSE)


@asynccontextmanager
async def running_ocr_stub() -> AsyncIterator[str]:
    """Run it in another process while the context is open; yields its URL."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.ocr_stub"),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=die_with_parent,
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        send_signal(process, signal.SIGTERM)
        await process.wait()


async def _serve() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.get_running_loop().create_server(OcrConnection, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(_serve())
