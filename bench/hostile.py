"""The heaviest of hostile requests, while somebody else asks ``/livez`` all the time."""

import asyncio
import contextlib
import socket
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from bench import server
from bench.client import Client

ASKED_EVERY = 0.005  # seconds between looks at /livez
QUIET = 1.0  # seconds in which nothing is sent, to see what the machine adds by itself
AFTERWARDS = 0.1  # seconds /livez is asked on after an answer
ANSWERED_WITHIN = 20.0  # seconds
DRIPPING = 200  # connections
DRIPS = 30  # each of them sends so many bytes, one after the other
DRIP_EVERY = 0.1  # seconds
AT_ONCE = 256 * 1024  # bytes the event loop takes off a socket at once
LONGEST_LINE = 8000  # bytes; over 8190 a line is refused before anybody looks at it

FORM = "multipart/form-data; boundary=B"
SUBMIT, BATCH, CONVERT = "/api/documents/submit", "/v1/batch/submit", "/v1/convert"
RESERVE = "/api/documents/upload-url"


class Seen(NamedTuple):
    """What one attack did: the answer, the seconds it took, and those /livez took meanwhile."""

    answer: str
    seconds: float
    others: list[float]


async def measure(rounds: int, only: str) -> None:
    """Throw everything at one service, one after the other, and print what it did to others."""
    attacks = {name: raw for name, raw in _attacks().items() if only in name}
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        async with server.started(Path(name), stub=True) as running:
            url = running.url
            await _watched(url, lambda: "warm")
            quiet = await _watched(url, _nothing)
            print(f"{'':44}{'answer':>8}{'took':>10}   /livez meanwhile, ms: longest (p50)")
            _print("nothing at all", [quiet])
            for what, raw in attacks.items():
                seen = [await _watched(url, lambda raw=raw: _send(url, raw)) for _ in range(rounds)]
                _print(what, seen)
            if only in "dripping connections":
                _print(f"{DRIPPING} dripping connections", [await _watched(url, lambda: _drip(url))])
            left = [path for path in (Path(name) / "blobs").rglob("*") if path.is_file()]
            print(f"left in the blob store: {len(left)} files")
