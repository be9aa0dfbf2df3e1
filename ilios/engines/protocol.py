"""What the engine and its children say to each other: length-prefixed msgpack frames on pipes."""

import os
from asyncio import StreamReader

import msgspec
from msgspec import Struct

HEADER_BYTES = 4
FRAME_SLACK_BYTES = 4 * 1024 * 1024
"""What a frame may hold beside the Markdown itself: msgpack headers, codes, sentences."""


class ToMarkdown(Struct, frozen=True, tag=True):
    """Make Markdown of it."""


class CountPages(Struct, frozen=True, tag=True):
    """Say how many pages a PDF has."""


class CutPages(Struct, frozen=True, tag=True):
    """Make a PDF of the pages from ``start`` to before ``stop``, counted from 0."""

    start: int
    stop: int


Task = ToMarkdown | CountPages | CutPages


class Request(Struct, frozen=True, tag=True):
    """Do this with a document."""

    path: str
    content_type: str
    sha256: str | None
    task: Task = ToMarkdown()


class Prepare(Struct, frozen=True, tag=True):
    """Load what documents of these types need; ``Ready`` is said once more when that is done."""

    content_types: tuple[str, ...]
    recognising: bool


class Wear(Struct, frozen=True):
    """How fit a child is after a document: memory it holds, address space running out."""

    resident_bytes: int
    cramped: bool


class Ready(Struct, frozen=True, tag=True):
    """The child is up and confined, or has loaded what it was to prepare.

    ``exposed`` are sentences on what of the sandbox this machine does not have.
    """

    exposed: tuple[str, ...] = ()


class Started(Struct, frozen=True, tag=True):
    """The child has read the request and is about to touch the document; it reads a large one.

    A child that dies before saying so was not killed by the document.
    """


class Progress(Struct, frozen=True, tag=True):
    """So many pages are done; said again while the next one comes along."""

    done: int
    total: int


class Converted(Struct, frozen=True, tag=True):
    """The document's Markdown by page, what it took, and what is left of the child afterwards."""

    pages: tuple[str, ...]
    model: str
    seconds: float
    wear: Wear


class Counted(Struct, frozen=True, tag=True):
    """So many pages there are."""

    pages: int
    wear: Wear


class Cut(Struct, frozen=True, tag=True):
    """The pages that were asked for, as a PDF of their own."""

    data: bytes
    wear: Wear


class Refused(Struct, frozen=True, tag=True):
    """The document cannot be converted, now or later; the child is well."""

    code: str
    reason: str
    wear: Wear


class Broken(Struct, frozen=True, tag=True):
    """The child cannot do its work, not for the document's sake but perhaps a ``full`` volume's."""

    detail: str
    full: bool = False


Question = Request | Prepare
Outcome = Converted | Counted | Cut | Refused
"""What ends the work on a document; the child is free again."""
Answer = Ready | Started | Progress | Outcome | Broken


class BadFrame(Exception):
    """The other side said something that is not a frame of ours."""


_questions: msgspec.msgpack.Decoder[Question] = msgspec.msgpack.Decoder(Question)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def frame(word: Question | Answer) -> bytes:
    """Return the word as it travels."""
    body = msgspec.msgpack.encode(word)
    return len(body).to_bytes(HEADER_BYTES, "big") + body


async def read_answer(pipe: StreamReader, max_bytes: int) -> Answer:
    """Read the child's next word.

    :raises asyncio.IncompleteReadError: the pipe ended.
    :raises BadFrame: more than ``max_bytes``, or not a word. The child parses hostile files, so
        what it says is not trusted either.
    """
    length = int.from_bytes(await pipe.readexactly(HEADER_BYTES), "big")
    if length > max_bytes:
        raise BadFrame(f"a frame of {length} bytes")
    try:
        return _answers.decode(await pipe.readexactly(length))
    except msgspec.DecodeError as error:
        raise BadFrame(str(error)) from error


def read_question(descriptor: int) -> Question | None:
    """Read the next question, blocking; ``None`` once the engine has closed the pipe."""
    header = _read_exactly(descriptor, HEADER_BYTES)
    body = _read_exactly(descriptor, int.from_bytes(header, "big")) if header else b""
    return _questions.decode(body) if body else None


def write_answer(descriptor: int, answer: Answer) -> None:
    """Write the whole word, blocking."""
    data = memoryview(frame(answer))
    while data:
        data = data[os.write(descriptor, data) :]


def _read_exactly(descriptor: int, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        piece = os.read(descriptor, length - len(data))
        if not piece:
            return b""
        data += piece
    return bytes(data)
