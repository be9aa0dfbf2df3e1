"""The heaviest hostile requests, while another connection requests ``/livez`` all the time."""

import asyncio
import contextlib
import socket
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

from bench import server
from bench.client import Client

POLL_INTERVAL = 0.005  # seconds between requests of /livez
QUIET = 1.0  # seconds in which nothing is sent, to see what the machine itself adds
AFTERWARDS = 0.1  # seconds /livez is requested after a response
ANSWERED_WITHIN = 20.0  # seconds
DRIPPING = 200  # connections
DRIPS = 30  # each of them sends so many bytes, one after the other
DRIP_EVERY = 0.1  # seconds
AT_ONCE = 256 * 1024  # bytes the event loop takes off a socket at once
LONGEST_LINE = 8000  # bytes; over 8190 a line is refused unparsed

FORM = "multipart/form-data; boundary=B"
SUBMIT, BATCH = "/api/documents/submit", "/v1/batch/submit"
RESERVE = "/api/documents/upload-url"


class Seen(NamedTuple):
    """One attack: its response, the seconds it took, and those /livez took meanwhile."""

    answer: str
    seconds: float
    others: list[float]


async def measure(rounds: int = 3, only: str = "") -> None:
    """Run the attacks whose names contain ``only`` against one service, and print their effect."""
    async with server.run_service(stub=True) as running:
        url = running.url
        print(f"{'':40}{'answer':>8}{'took':>10}   /livez meanwhile, ms: longest (p50)")
        _print("nothing at all", [await _measure_attack(url, _nothing) for _ in range(rounds)])
        attacks = {what: partial(_send, url, raw) for what, raw in _attacks().items()}
        attacks[f"{DRIPPING} dripping connections"] = partial(_drip, url)
        for what, attack in attacks.items():
            if only in what:
                _print(what, [await _measure_attack(url, attack) for _ in range(rounds)])
        left = [path for path in (running.data / "blobs").rglob("*") if path.is_file()]
        print(f"left in the blob store: {sum(path.name != 'lock' for path in left)} files")


def _attacks() -> dict[str, bytes]:
    """Return the requests: each is valid enough to be read for as long as possible."""
    return _forms() | _lines() | _chunks() | _heads() | _json_bodies()


def _forms() -> dict[str, bytes]:
    field = "Content-Disposition: form-data; name="
    # Parsed only after everything else, and then refused.
    last = f"{field}retentionDays\r\n\r\n0"
    files = [f"{_file('files', n)}%PDF-1.7" for n in range(100)]
    fields = [f"{field}f{n}\r\n\r\n" + "x" * 65_536 for n in range(18)]
    headers = [f"X-{n}: {'a' * LONGEST_LINE}" for n in range(1000)]
    long = "\r\n".join(headers[:100])
    marks = "\u0301\u0323" * (LONGEST_LINE // 4)
    return {
        "10,000 empty parts": _form(["\r\n"] * 10_000),
        "10,000 empty parts in a batch": _form(["\r\n"] * 10_000, BATCH),
        "30,000 tiny fields": _form([f"{field}a\r\n\r\nb"] * 30_000),
        "30,000 tiny fields in a batch": _form([f"{field}a\r\n\r\nb"] * 30_000, BATCH),
        "100 files and the longest fields": _form([*fields, *files, last], BATCH),
        "101 files": _form([*files, files[0]], BATCH),
        "20 parts with 100 long headers each": _form([f"{long}\r\n{field}x"] * 20, BATCH),
        "a part with 1,000 long headers": _form(["\r\n".join(headers) + "\r\n\r\nx"]),
        "119 parts of endless parameters": _form(
            [f"{field}file{';x=' * 2600}; filename=x\r\n\r\nx"] * 119, BATCH
        ),
        "20 parts of quotes": _form([f"{field}{';x=' + chr(34) * 7900}\r\n\r\nx"] * 20),
        "a file name of 8 kB of marks": _form(
            [f'{field}"file"; filename="a{marks}.pdf"\r\n\r\nx', last]
        ),
    }


def _lines() -> dict[str, bytes]:
    last = "Content-Disposition: form-data; name=retentionDays\r\n\r\n0"
    file = _file("file", 1)
    return {
        "2 MB of line feeds before the form": _post(SUBMIT, b"\n" * 2_000_000),
        "2 MB of short lines before the form": _post(SUBMIT, b"ab\r\n" * 500_000),
        "2 MB of line feeds after the form": _form([last]) + b"\n" * 2_000_000,
        "2 MB of line feeds in a file": _form([file + "\n" * 2_000_000, last]),
        "2 MB of beginnings of the boundary": _form([file + "\r\n--" * 500_000, last]),
        "2 MB of other boundaries in a file": _form([file + "\r\n--BB" * 300_000, last]),
    }


def _chunks() -> dict[str, bytes]:
    tiny = b"1\r\na\r\n" * 150_000
    return {
        "a form in chunks of a byte": _chunked(tiny),
        "bare bytes in chunks of a byte": _chunked(tiny, kind="application/pdf"),
        "JSON in chunks of a byte": _chunked(tiny, f"POST {RESERVE}", "application/json"),
        "a GET with a body in chunks of a byte": _chunked(tiny, "GET /livez"),
        "1 MB of chunk extensions": _chunked(b"1;" + b"a=b;" * 250_000 + b"\r\na\r\n"),
        "1 MB of trailers": _chunked(b"0\r\n" + b"X: y\r\n" * 170_000 + b"\r\n"),
    }


def _heads() -> dict[str, bytes]:
    document, usage = f"/api/documents/{'a' * 24}", "/api/usage/summary"
    return {
        "120 longest headers": _post(
            SUBMIT, b"", *[f"X-{n}: {'a' * LONGEST_LINE}" for n in range(120)]
        ),
        "10,000 headers": _post(SUBMIT, b"", *[f"X-{n}: a" for n in range(10_000)]),
        "a Content-Type of quotes": _post(BATCH, b"x", kind="a/b;" + '";' * 4000),
        "a Content-Type of parameters": _post(SUBMIT, b"x", kind=FORM + ";a=b" * 1990),
        "a Content-Type in sections": _post(
            SUBMIT, b"x", kind=FORM + "".join(f";a*{n}*=''b" for n in range(750))
        ),
        "an Idempotency-Key of backslashes": _post(
            SUBMIT, b"x", 'Idempotency-Key: "' + "\\\\" * 4000
        ),
        "an If-None-Match of quotes": _get(document, 'If-None-Match: "' + '",' * 4000),
        "a query of 4,000 parameters": _get(f"{usage}?startDate=x&{'a&' * 4000}"),
        "a query of escapes": _get(f"{usage}?startDate={'%F0' * 2600}"),
        "a path of dots": _get("/." * 4000),
        "a path of escapes": _get("/" + "%2e%2e%2f" * 880),
        "10,000 requests in a row": _get("/nowhere") * 10_000,
    }


def _json_bodies() -> dict[str, bytes]:
    marks = "\u0301\u0323" * 16_000
    return {
        "64 KiB of brackets": _json("[" * 65_536),
        "64 KiB of nested objects": _json('{"a":' * 13_000),
        "64 KiB of members": _json("{" + ",".join(f'"{n}":1' for n in range(6500)) + "}"),
        "64 KiB of empty objects": _json('{"a":[' + ",".join(["{}"] * 21_000) + "]}"),
        "64 KiB of digits": _json('{"fileName":"a","fileSize":' + "9" * 65_000 + "}"),
        "15 numbers of 4,300 digits": _json('{"a":[' + ",".join(["9" * 4300] * 15) + "]}"),
        "64 KiB of marks": _json('{"fileSize":1,"fileName":"a' + marks + '"}'),
        "64 KiB of escapes": _json('{"fileSize":9e99,"fileName":"' + "\\ud800" * 10_900 + '"}'),
    }


def _file(name: str, number: int) -> str:
    head = f'Content-Disposition: form-data; name="{name}"; filename="{number}.pdf"'
    return f"{head}\r\nContent-Type: application/pdf\r\n\r\n"


def _form(parts: list[str], path: str = SUBMIT) -> bytes:
    return _post(path, "".join([*(f"--B\r\n{part}\r\n" for part in parts), "--B--\r\n"]).encode())


def _json(body: str) -> bytes:
    return _post(RESERVE, body.encode(), kind="application/json")


def _post(path: str, body: bytes, *headers: str, kind: str = FORM) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: ilios", f"Content-Type: {kind}", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def _chunked(body: bytes, line: str = f"POST {SUBMIT}", kind: str = FORM) -> bytes:
    lines = [f"{line} HTTP/1.1", "Host: ilios", f"Content-Type: {kind}"]
    return "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode() + body + b"zz\r\n"


def _get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: ilios", *headers, "", ""]).encode()


def _nothing() -> str:
    time.sleep(QUIET)
    return ""


def _send(url: str, raw: bytes) -> str:
    """Send all of it as fast as possible; returns the status of the first response."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), ANSWERED_WITHIN) as connection:
        # A service that refuses early closes before it has taken everything.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(raw)
        return _status(connection)


def _status(connection: socket.socket) -> str:
    try:
        head = connection.recv(AT_ONCE)
    except TimeoutError:
        return "hangs"
    except ConnectionResetError:
        return "reset"
    return head[9:12].decode() if head else "closed"


def _drip(url: str) -> str:
    """Send forms byte by byte over many connections; returns the statuses of the responses."""
    parts = urlsplit(url)
    opened = [
        socket.create_connection((parts.hostname, parts.port), ANSWERED_WITHIN)
        for _ in range(DRIPPING)
    ]
    for connection in opened:
        connection.sendall(_post(SUBMIT, b"--B\r\n" + b"x" * DRIPS)[:-DRIPS])
    for _ in range(DRIPS - 1):
        for connection in opened:
            connection.sendall(b"x")
        time.sleep(DRIP_EVERY)
    for connection in opened:
        connection.sendall(b"x")
    answers = {_status(connection) for connection in opened}
    for connection in opened:
        connection.close()
    return ",".join(sorted(answers))


async def _measure_attack(url: str, attack: Callable[[], str]) -> Seen:
    """Run one attack in a thread and request ``/livez`` until shortly after its end."""
    client = Client(url)
    await client.get("/livez")
    others: list[float] = []
    began = time.perf_counter()
    attacking = asyncio.create_task(asyncio.to_thread(attack))
    ended = 0.0
    while not ended or time.perf_counter() < ended + AFTERWARDS:
        asked = time.perf_counter()
        await client.get("/livez")
        others.append(time.perf_counter() - asked)
        if attacking.done() and not ended:
            ended = time.perf_counter()
        await asyncio.sleep(POLL_INTERVAL)
    client.close()
    return Seen(await attacking, ended - began, others)


def _print(what: str, seen: list[Seen]) -> None:
    answers = ",".join(sorted({one.answer for one in seen}))
    took = statistics.median(one.seconds for one in seen)
    longest = " ".join(f"{1000 * max(one.others):.0f}" for one in seen)
    usual = 1000 * statistics.median([other for one in seen for other in one.others])
    print(f"{what:40}{answers:>8}{took:>8.2f} s   {longest} ({usual:.1f})", flush=True)
