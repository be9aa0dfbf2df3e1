"""Reads the bodies of requests within deadlines, and forms part by part (RFC 7578)."""

import asyncio
import re
import time
from collections.abc import Awaitable, Iterator
from typing import TypeVar
from urllib.parse import unquote

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Struct
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from ilios.edge.context import Limits
from ilios.edge.errors import HttpProblem

CHUNK_BYTES = 256 * 1024
MAX_HEADERS = 128
"""Header lines of one part."""
MAX_LINE_BYTES = 8190
"""Bytes of one header line."""
MAX_FRAME_BYTES = 64 * 1024
"""Bytes around the contents of parts: before the first, of one part's header, after the last."""
MAX_BOUNDARY_BYTES = 70  # RFC 2046, 5.1.1

_PARAMETER = re.compile(r';\s*([\w!#$%&+.^`|~*-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;\s"]*)', re.ASCII)
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")
_NEEDS_DATA = b""  # the parser never yields it
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def parse_parameters(header: str) -> dict[str, str]:
    """Return the parameters of a header by lower-case name; what is malformed is left out."""
    found: dict[str, str] = {}
    for match in _PARAMETER.finditer(header):
        name, value = match.groups()
        if value.startswith('"'):
            # Only what clients escape: other backslashes belong to paths of old browsers.
            value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
        found.setdefault(name.lower(), value)
    return found


def parse_part_names(header: str) -> tuple[str | None, str | None]:
    """Return name and file name of a form's part by its ``Content-Disposition`` (RFC 7578, 4.2)."""
    found = parse_parameters(header)
    charset, _, encoded = found.get("filename*", "").partition("'")
    if encoded and charset.lower() in ("utf-8", "iso-8859-1"):
        found["filename"] = unquote(encoded.partition("'")[2], charset)
    elif "filename" in found:
        # So do browsers, node and curl send what would end the name (WHATWG HTML, 4.10.21.8).
        for escaped, meant in (("%22", '"'), ("%0D", "\r"), ("%0A", "\n")):
            found["filename"] = found["filename"].replace(escaped, meant)
    return found.get("name"), found.get("filename")


def media_type(header: str | None) -> str | None:
    """Return a ``Content-Type`` without its parameters; None if there is no valid one."""
    claimed = (header or "").partition(";")[0].strip().lower()
    return claimed if _MEDIA_TYPE.fullmatch(claimed) else None


_T = TypeVar("_T")


class ReadDeadline:
    """Ends uploads of clients that send too slowly.

    Each step may take ``read_timeout``. All of them together may take ``grace`` seconds (by default
    ``slow_upload_grace``) and must then have come at ``min_bytes_per_second``. Only time spent
    waiting for the client counts, so a slow disk is not blamed on the client.
    """

    def __init__(self, limits: Limits, grace: float | None = None) -> None:
        self._limits = limits
        self._grace = limits.slow_upload_grace if grace is None else grace
        self._received = 0
        self._waited_seconds = 0.0

    async def read_chunk(self, content: StreamReader, most: int) -> bytes:
        """Return what has come of a body, or wait for more; nothing at its end. Errors as ``read``.

        What is there needs no timer, which costs more than taking it.
        """
        try:
            chunk = content.read_nowait(most)
        except (HttpProcessingError, web.RequestPayloadError) as error:
            raise malformed_body() from error
        if chunk:
            self._received += len(chunk)
            return chunk
        return await self.read(content.read(most))

    async def read(self, step: Awaitable[_T]) -> _T:
        """Wait for one step of reading.

        :raises HttpProblem: too slow (408), or malformed (400).
        """
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._limits.read_timeout):
                read = await step
        except TimeoutError:
            raise _too_slow() from None
        except (HttpProcessingError, web.RequestPayloadError) as error:
            raise malformed_body() from error
        self._waited_seconds += time.monotonic() - began
        if isinstance(read, bytes | bytearray):
            self._received += len(read)
        if self._waited_seconds > self._grace:
            rate = self._received / self._waited_seconds
            if rate < self._limits.min_bytes_per_second:
                raise _too_slow()
        return read


def malformed_body() -> HttpProblem:
    """Return the answer to a body that cannot be parsed."""
    return HttpProblem(400, "malformed_request", "The request body is malformed")


def _too_slow() -> HttpProblem:
    return HttpProblem(408, "upload_too_slow", "The upload was too slow")


class FormPart(Struct, frozen=True):
    """The header of one part. ``content_type`` is the header's text."""

    name: str
    file_name: str | None
    content_type: str | None


class FormReader:
    """Reads a form part by part, one chunk in memory at a time.

    Bytes that belong to no part's content are bounded by ``MAX_FRAME_BYTES``, so a preamble, a
    header or an epilogue ends although the request's body goes on.

    :raises HttpProblem: there is no valid boundary in ``content_type`` (400).
    """

    def __init__(self, content_type: str, content: StreamReader, deadline: ReadDeadline) -> None:
        self._content = content
        self._deadline = deadline
        self._events: Iterator[MultipartSegment | bytes | None] = iter(())
        self._frame_bytes = 0
        boundary = parse_parameters(content_type).get("boundary", "")
        try:
            if len(boundary) > MAX_BOUNDARY_BYTES:
                raise malformed_body()
            self._parser = PushMultipartParser(
                boundary.encode("ascii"),
                max_header_size=MAX_LINE_BYTES,
                max_header_count=MAX_HEADERS,
                # Every byte is a character, so that names in other encodings can be read.
                header_charset="latin-1",
            )
        except ValueError as error:  # not ASCII, or MultipartError: empty
            raise malformed_body() from error

    async def next_part(self) -> FormPart | None:
        """Return the header of the next part, whose content is to be read before the one after.

        :raises HttpProblem: malformed, too slow, or not a part that can be read.
        """
        segment = await self._next_event()
        assert not isinstance(segment, bytes), "the part before was not read to its end"
        return None if segment is None else _form_part(dict(reversed(segment.headerlist)))

    async def read_chunk(self) -> bytes:
        """Return more of the content of the current part; nothing at its end. Errors as above."""
        return await self._next_event() or b""

    async def _next_event(self) -> MultipartSegment | bytes | None:
        """Return what comes next: a part, bytes of it, or None for its end and the form's."""
        while True:
            try:
                event = next(self._events, _NEEDS_DATA)
                if event is not _NEEDS_DATA:
                    self._frame_bytes = 0
                    return event
                if self._parser.closed:
                    return None
                if self._frame_bytes > MAX_FRAME_BYTES:
                    raise malformed_body()
                chunk = await self._deadline.read_chunk(self._content, CHUNK_BYTES)
                self._frame_bytes += len(chunk)
                self._events = self._parser.parse(chunk)  # an empty one ends it, or raises
            except MultipartError as error:
                raise malformed_body() from error


def _form_part(headers: dict[str, str]) -> FormPart:
    if any(_CONTROL.search(value) for value in headers.values()):
        raise malformed_body()
    content_type = headers.get("Content-Type")
    if (content_type or "").lower().startswith("multipart/"):
        raise HttpProblem(400, "nested_form", "A form inside a form is not supported")
    encoding = headers.get("Content-Transfer-Encoding", "binary").strip().lower()
    if encoding not in ("binary", "8bit", "7bit"):
        # Deprecated for forms by RFC 7578 section 4.7; taken as it is, it would not be the file.
        raise HttpProblem(400, "encoding_unsupported", "A part of the form is encoded")
    name, file_name = parse_part_names(_decode(headers.get("Content-Disposition", "")))
    return FormPart(name or "", file_name, content_type)


def _decode(header: str) -> str:
    """Return the text of a header: UTF-8, or else Windows-1252, as older programs send names."""
    raw = header.encode("latin-1")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("windows-1252", "replace")
