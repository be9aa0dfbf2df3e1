"""What is thrown at the edge, and what it must look like when the edge throws it back."""

import asyncio
import random
import re
from collections.abc import Callable, Iterable

from tests.ilios.edge.world import (
    PDF,
    RawResponse,
    World,
    field_part,
    file_part,
    multipart_form,
    read_response,
)

BOUNDARY = b"--BOUNDARY"
FORM = "multipart/form-data; boundary=BOUNDARY"

SUBMIT = "/api/documents/submit"
CONVERT = "/v1/convert"
BATCH = "/v1/batch/submit"
UPLOAD_URL = "/api/documents/upload-url"

VALID_REQUEST = b"GET /openapi.json HTTP/1.1\r\nHost: ilios\r\nConnection: close\r\n\r\n"
VALID_RESPONSE_START = b'{"openapi"'

INTERNALS = re.compile(
    rb"Traceback|[a-z]Error\b|Exception|aiohttp|[Pp]ython|asyncio|[Ss][Qq][Ll]ite|SELECT |"
    rb"[Nn][Aa][Tt][Ss]\b|site-packages|/tmp/|\.py\b|0x[0-9a-f]{6,}"
)
"""What would show a client how the service is made."""


def request(line: str, body: bytes = b"", *headers: str, length: str | None = None) -> bytes:
    """Return a raw request; ``length`` is the declared length of its body where that is false."""
    content_length = str(len(body)) if length is None else length
    lines = [
        f"{line} HTTP/1.1",
        "Host: ilios",
        *headers,
        f"Content-Length: {content_length}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body


def upload(path: str, *parts: tuple[str, bytes]) -> bytes:
    """Return a form with ``parts``, or with one good document, for one of the doors."""
    name = "files" if path == BATCH else "file"
    good = (file_part()[0].replace('name="file"', f'name="{name}"'), PDF)
    return request(f"POST {path}", multipart_form(*(parts or (good,))), f"Content-Type: {FORM}")


def assert_refused(answer: RawResponse) -> None:
    """Fail unless the answer is a problem that shows nothing of the inside."""
    assert 400 <= answer.status < 500, answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["server"] == "ilios"
    problem = answer.json()
    assert problem["status"] == answer.status
    assert problem["error"]
    assert problem["code"]
    assert problem["requestId"] == answer.headers["x-request-id"]
    visible = answer.body.replace(problem["instance"].encode(), b"")
    assert not INTERNALS.search(visible), answer


async def exchange_then_probe(world: World, raw: bytes) -> list[RawResponse]:
    """Send raw bytes and then, if the edge leaves the connection open, an ordinary request.

    Returns all answers: the connection was closed, or the last of them is the ordinary one.
    """
    reader, writer = await world.connect()
    answers: list[RawResponse] = []
    try:
        async with asyncio.timeout(15):
            writer.write(raw)
            answers.append(await read_response(reader))
            if answers[0].headers.get("connection") != "close":
                writer.write(VALID_REQUEST)
            while not reader.at_eof() and answers[-1].headers.get("connection") != "close":
                answers.append(await read_response(reader))
                if answers[-1].body.startswith(VALID_RESPONSE_START):
                    break
    except (asyncio.IncompleteReadError, ConnectionResetError):
        pass  # closed, perhaps with something of ours unread
    finally:
        writer.close()
    # The rest are invitations to send a body.
    return [answer for answer in answers if answer.status >= 200]


def mutations(seed: int, valid_requests: Iterable[bytes], number: int) -> list[bytes]:
    """Return so many broken requests, each made of one of the good ones by one to three changes."""
    rng, good = random.Random(seed), list(valid_requests)
    made: list[bytes] = []
    while len(made) < number:
        head, _, body = rng.choice(good).partition(b"\r\n\r\n")
        for _ in range(rng.randint(1, 3)):
            if rng.random() < 0.4:
                head = rng.choice(_HEADER_MUTATIONS)(rng, head)
            else:
                body = rng.choice(_BODY_MUTATIONS)(rng, body)
        if rng.random() < 0.7:  # or nothing but the length would be looked at
            head = re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(body), head)
        if not head.strip():
            continue  # line breaks before a request are none, and wait for one
        made.append(head + b"\r\n\r\n" + body)
    return made


Mutation = Callable[[random.Random, bytes], bytes]


def _flip_a_bit(rng: random.Random, text: bytes) -> bytes:
    at = rng.randrange(max(1, len(text)))
    return (
        text[:at]
        + bytes(byte ^ (1 << rng.randrange(8)) for byte in text[at : at + 1])
        + text[at + 1 :]
    )


def _cut_off(rng: random.Random, text: bytes) -> bytes:
    return text[: rng.randrange(max(1, len(text)))]


def _drop_some(rng: random.Random, text: bytes) -> bytes:
    at = rng.randrange(max(1, len(text)))
    return text[:at] + text[at + rng.randint(1, 20) :]


def _repeat_some(rng: random.Random, text: bytes) -> bytes:
    at = rng.randrange(max(1, len(text)))
    return text[:at] + text[at : at + rng.randint(1, 200)] * rng.randint(2, 5) + text[at:]


def _insert(rng: random.Random, text: bytes) -> bytes:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(_JUNK) + text[at:]


def _without_a_boundary(rng: random.Random, text: bytes) -> bytes:
    pieces = text.split(BOUNDARY)
    at = rng.randrange(1, len(pieces)) if len(pieces) > 1 else 0
    return BOUNDARY.join(pieces[:at]) + BOUNDARY.join(pieces[at:])


def _more_boundaries(rng: random.Random, text: bytes) -> bytes:
    return text.replace(BOUNDARY, rng.choice((BOUNDARY * 2, BOUNDARY + b"\r\n" + BOUNDARY)))


def _without_a_line(rng: random.Random, head: bytes) -> bytes:
    lines = head.split(b"\r\n")
    del lines[rng.randrange(len(lines))]
    return b"\r\n".join(lines)


def _with_a_line(rng: random.Random, head: bytes) -> bytes:
    lines = head.split(b"\r\n")
    lines.insert(rng.randrange(1, len(lines) + 1), rng.choice(_LINES))
    return b"\r\n".join(lines)


def _lines_in_disorder(rng: random.Random, head: bytes) -> bytes:
    first, *lines = head.split(b"\r\n")
    rng.shuffle(lines)
    return b"\r\n".join([first, *lines, *lines[:1]])


_BODY_MUTATIONS: tuple[Mutation, ...] = (
    _flip_a_bit,
    _cut_off,
    _drop_some,
    _repeat_some,
    _insert,
    _without_a_boundary,
    _more_boundaries,
)
_HEADER_MUTATIONS: tuple[Mutation, ...] = (
    _flip_a_bit,
    _drop_some,
    _insert,
    _without_a_line,
    _with_a_line,
    _lines_in_disorder,
)
_JUNK = (
    b"\0",
    b"\x1b[31m",
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b'"',
    b"\\",
    b";",
    b"--",
    b"%00",
    b"../../../etc/passwd",
    b"a" * 9000,
    BOUNDARY,
    b"\r\n" + BOUNDARY + b"--\r\n",
    b'\r\n--BOUNDARY\r\nContent-Disposition: form-data; name="retentionDays"\r\n\r\n1e9',
    b"filename*=UTF-8''x%0d%0aX-Injected%3A%201.pdf;",
)
_LINES = (
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity",
    b"Content-Length: 5",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: -1",
    b"Content-Type: text/plain",
    b"Content-Type: application/json",
    b"Content-Encoding: gzip",
    b"Content-Encoding: br",
    b"Expect: 100-continue",
    b"Expect: miracles",
    b"Connection: close",
    b"Connection: upgrade\r\nUpgrade: websocket",
    b"Connection: upgrade\r\nUpgrade: h2c",
    b"Host: another",
    b"Host:",
    b"Idempotency-Key: ",
    b"Idempotency-Key: \xff",
    b'Idempotency-Key: "',
    b"Range: bytes=0-",
    b"X: " + b"a" * 9000,
    b": nothing",
    b" folded",
)


def tiny_fields(number: int) -> list[tuple[str, bytes]]:
    """Return so many parts with next to nothing in them."""
    return [field_part("_", b"b")] * number
