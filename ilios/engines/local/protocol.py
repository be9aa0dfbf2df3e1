"""Messages between the engine and its children: length-prefixed msgpack frames on pipes.

A document may have taken a child over, so every member of an answer is bounded here, and checked
for plausibility in :mod:`ilios.engines.local.answer_checks`.
"""

import os
from asyncio import StreamReader
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from actors.engines import Password
from ilios.engines.pages import ConvertedPage, Reading
from schemas.results import PageResult

HEADER_BYTES = 4
FRAME_SLACK_BYTES = 4 * 1024 * 1024
"""Room in a frame beside the Markdown itself: msgpack headers, codes, sentences."""

MAX_PAGES = 1_000_000
MAX_SENTENCE = 500
"""Characters of a sentence; a child truncates longer ones."""

MAX_DRAFTS = 256
"""Pages in one message."""
MAX_DRAFT_CHARS = 4 * 1024 * 1024
"""Characters of all drafts of a portion; a child sends no further ones."""

PageCount = Annotated[int, Meta(ge=0, le=MAX_PAGES)]
Sentence = Annotated[str, Meta(max_length=MAX_SENTENCE)]
ModelName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.+-]{0,127}\Z")]
Refusal = Literal[
    "corrupt",
    "integrity",
    "out_of_memory",
    "pages_out_of_range",
    "password_incorrect",
    "password_protected",
    "too_large",
    "too_many_pages",
    "unsupported_type",
]
"""Failure codes of a child; ``timeout`` and ``crashed`` are the engine's."""


class ToMarkdown(Reading, frozen=True, tag=True):
    """Convert the document as far as it is to be read: a portion of the selected pages at a time.

    ``seconds`` are how long the child begins with further pages; ``total`` is how many are
    selected, None in the first portion. With ``drafts`` it sends pages before all are converted.
    """

    seconds: float | None = None
    total: int | None = None
    drafts: bool = False


class CountPages(Struct, frozen=True, tag=True):
    """Count the pages of the document."""


class CutPages(Struct, frozen=True, tag=True):
    """Make a PDF of pages of this one, counted from 0."""

    indices: tuple[int, ...]


class RemoveProtection(Struct, frozen=True, tag=True):
    """Make a PDF like this one that needs no password."""


Task = ToMarkdown | CountPages | CutPages | RemoveProtection


class Request(Struct, frozen=True, tag=True):
    """A task and the document it is about, with the password if it needs one."""

    path: str
    content_type: str
    sha256: str | None
    task: Task = ToMarkdown()
    password: Password | None = None


class Prepare(Struct, frozen=True, tag=True):
    """Load the converters of these types; ``Ready`` is sent once more when that is done."""

    content_types: tuple[str, ...]
    load_ocr: bool


class Wear(Struct, frozen=True):
    """Memory of a child after a document; ``cramped`` when its address space runs out."""

    resident_bytes: Annotated[int, Meta(ge=0, le=2**53)]
    cramped: bool


class Ready(Struct, frozen=True, tag=True):
    """The child is up and confined, or has loaded what ``Prepare`` names.

    ``exposed`` has a sentence for each part of the sandbox that this machine lacks.
    """

    exposed: Annotated[tuple[Sentence, ...], Meta(max_length=8)] = ()


class Started(Struct, frozen=True, tag=True):
    """The child has read the request and begins with the document; repeated while it reads it.

    A child that dies before sending this was not killed by the document.
    """


class Progress(Struct, frozen=True, tag=True):
    """Pages done; repeated while the next one is in work."""

    done: PageCount
    total: PageCount


class Drafts(Struct, frozen=True, tag=True):
    """Pages as they look before the others are converted, without the bytes of their images."""

    pages: Annotated[tuple[PageResult, ...], Meta(min_length=1, max_length=MAX_DRAFTS)]


class Converted(Struct, frozen=True, tag=True):
    """The converted pages, and the child's memory afterwards.

    ``total`` is how many pages are selected; None means these, of a type that is never divided.
    ``pictures`` is how many were read beside a text layer.
    """

    pages: Annotated[tuple[ConvertedPage, ...], Meta(min_length=1, max_length=MAX_PAGES)]
    model: ModelName
    wear: Wear
    total: PageCount | None = None
    pictures: PageCount = 0

    @property
    def selected(self) -> int:
        """How many pages are selected, of which these may be a portion."""
        return len(self.pages) if self.total is None else self.total


class Counted(Struct, frozen=True, tag=True):
    """The number of pages."""

    pages: PageCount
    wear: Wear


class Cut(Struct, frozen=True, tag=True):
    """The requested pages, or the unprotected document, as a PDF."""

    data: bytes
    wear: Wear


class Refused(Struct, frozen=True, tag=True):
    """The document cannot be converted, now or later; the child is well."""

    code: Refusal
    reason: Sentence
    wear: Wear


class Broken(Struct, frozen=True, tag=True):
    """The child cannot work, which is not due to the document; ``full`` if the volume is full."""

    detail: Sentence
    full: bool = False


Command = Request | Prepare
Outcome = Converted | Counted | Cut | Refused
"""Answers that end the work on a document; the child is free again."""
Answer = Ready | Started | Progress | Drafts | Outcome | Broken


class BadFrame(Exception):
    """Received bytes are not a valid frame."""


_commands: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def encode_frame(message: Command | Answer) -> bytes:
    """Return the message as a frame."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(HEADER_BYTES, "big") + body


async def read_answer(pipe: StreamReader, max_bytes: int) -> Answer:
    """Read the child's next answer.

    :raises asyncio.IncompleteReadError: the pipe ended.
    :raises BadFrame: more than ``max_bytes``, or not an answer.
    """
    length = int.from_bytes(await pipe.readexactly(HEADER_BYTES), "big")
    if length > max_bytes:
        raise BadFrame(f"a frame of {length} bytes")
    try:
        return _answers.decode(await pipe.readexactly(length))
    # For invalid UTF-8, and for values too deep or too large, msgspec raises Python's errors.
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise BadFrame(f"an invalid answer: {str(error)[:MAX_SENTENCE]}") from error


def read_command(descriptor: int) -> Command | None:
    """Read the next command, blocking; ``None`` once the engine has closed the pipe."""
    header = _read_exactly(descriptor, HEADER_BYTES)
    body = _read_exactly(descriptor, int.from_bytes(header, "big")) if header else b""
    return _commands.decode(body) if body else None


def write_answer(descriptor: int, answer: Answer) -> None:
    """Write an answer, blocking."""
    data = memoryview(encode_frame(answer))
    while data:
        data = data[os.write(descriptor, data) :]


def bounded_text(text: str) -> str:
    """Return a text in valid UTF-8, truncated to ``MAX_SENTENCE``."""
    return text[:MAX_SENTENCE].encode(errors="replace").decode()


def _read_exactly(descriptor: int, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        piece = os.read(descriptor, length - len(data))
        if not piece:
            return b""
        data += piece
    return bytes(data)
