"""What the engine and its children say to each other: length-prefixed msgpack frames on pipes.

A child may have been taken over by a document. So every member of an answer has bounds here, and
what the engine can find out by itself is held against that in
:mod:`ilios.engines.local.answer_checks`.
"""

import os
from asyncio import StreamReader
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

HEADER_BYTES = 4
FRAME_SLACK_BYTES = 4 * 1024 * 1024
"""What a frame may hold beside the Markdown itself: msgpack headers, codes, sentences."""


MAX_PAGES = 1_000_000
MAX_SENTENCE = 500
"""Characters of a sentence; a child cuts what is longer."""

PageCount = Annotated[int, Meta(ge=0, le=MAX_PAGES)]
Sentence = Annotated[str, Meta(max_length=MAX_SENTENCE)]
ModelName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.+-]{0,127}\Z")]
Refusal = Literal[
    "corrupt",
    "integrity",
    "out_of_memory",
    "password_protected",
    "too_large",
    "too_many_pages",
    "unsupported_type",
]
"""The failure codes that a child gives; ``timeout`` and ``crashed`` are the engine's."""


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
    load_ocr: bool


class Wear(Struct, frozen=True):
    """How fit a child is after a document: memory it holds, address space running out."""

    resident_bytes: Annotated[int, Meta(ge=0, le=2**53)]
    cramped: bool


class Ready(Struct, frozen=True, tag=True):
    """The child is up and confined, or has loaded what it was to prepare.

    ``exposed`` are sentences on what of the sandbox this machine does not have.
    """

    exposed: Annotated[tuple[Sentence, ...], Meta(max_length=8)] = ()


class Started(Struct, frozen=True, tag=True):
    """The child has read the request and is about to touch the document; it reads a large one.

    A child that dies before saying so was not killed by the document.
    """


class Progress(Struct, frozen=True, tag=True):
    """So many pages are done; said again while the next one comes along."""

    done: PageCount
    total: PageCount


class Converted(Struct, frozen=True, tag=True):
    """The document's Markdown by page, and what is left of the child afterwards."""

    pages: Annotated[tuple[str, ...], Meta(min_length=1, max_length=MAX_PAGES)]
    model: ModelName
    wear: Wear


class Counted(Struct, frozen=True, tag=True):
    """So many pages there are."""

    pages: PageCount
    wear: Wear


class Cut(Struct, frozen=True, tag=True):
    """The pages that were asked for, as a PDF of their own."""

    data: bytes
    wear: Wear


class Refused(Struct, frozen=True, tag=True):
    """The document cannot be converted, now or later; the child is well."""

    code: Refusal
    reason: Sentence
    wear: Wear


class Broken(Struct, frozen=True, tag=True):
    """The child cannot do its work, not for the document's sake but perhaps a ``full`` volume's."""

    detail: Sentence
    full: bool = False


Command = Request | Prepare
Outcome = Converted | Counted | Cut | Refused
"""What ends the work on a document; the child is free again."""
Answer = Ready | Started | Progress | Outcome | Broken


class BadFrame(Exception):
    """The other side said something that is not a frame of ours."""


_questions: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def encode_frame(message: Command | Answer) -> bytes:
    """Return the word as it travels."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(HEADER_BYTES, "big") + body


async def read_answer(pipe: StreamReader, max_bytes: int) -> Answer:
    """Read the child's next word.

    :raises asyncio.IncompleteReadError: the pipe ended.
    :raises BadFrame: more than ``max_bytes``, or not an answer.
    """
    length = int.from_bytes(await pipe.readexactly(HEADER_BYTES), "big")
    if length > max_bytes:
        raise BadFrame(f"a frame of {length} bytes")
    try:
        return _answers.decode(await pipe.readexactly(length))
    # Values that are not UTF-8, too deep or too large for Python are none of msgspec's errors.
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise BadFrame(f"what is no answer: {str(error)[:MAX_SENTENCE]}") from error


def read_command(descriptor: int) -> Command | None:
    """Read the next question, blocking; ``None`` once the engine has closed the pipe."""
    header = _read_exactly(descriptor, HEADER_BYTES)
    body = _read_exactly(descriptor, int.from_bytes(header, "big")) if header else b""
    return _questions.decode(body) if body else None


def write_answer(descriptor: int, answer: Answer) -> None:
    """Write the whole word, blocking."""
    data = memoryview(encode_frame(answer))
    while data:
        data = data[os.write(descriptor, data) :]


def bounded_text(text: str) -> str:
    """Return a text as a child may send it: valid UTF-8, and not too long."""
    return text[:MAX_SENTENCE].encode(errors="replace").decode()


def _read_exactly(descriptor: int, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        piece = os.read(descriptor, length - len(data))
        if not piece:
            return b""
        data += piece
    return bytes(data)
