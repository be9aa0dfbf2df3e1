"""Reads the documents of a request: a form with files (RFC 7578), or the bare bytes.

The bytes go straight to the blob store; memory use does not depend on their number.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeVar
from urllib.parse import unquote

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Struct, field
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from ilios.edge.context import Edge, Limits
from ilios.edge.errors import HttpProblem
from ilios.file_names import clean_name
from schemas.batches import MAX_BATCH_DOCUMENTS
from schemas.documents import DEFAULT_CONTENT_TYPE, Blob

CHUNK_BYTES = 256 * 1024
MAX_HEADERS = 128
"""Header lines of one part."""
MAX_LINE_BYTES = 8190
"""Bytes of one header line."""
MAX_FRAME_BYTES = 64 * 1024
"""Bytes around the contents of parts: before the first, of one part's header, after the last."""
MAX_BOUNDARY_BYTES = 70  # RFC 2046, 5.1.1
DEFAULT_PART_TYPE = "text/plain"
"""Type of a part without a ``Content-Type`` (RFC 7578, 4.4)."""
CHARSET_FIELD = "_charset_"
"""Field in which a form names the encoding of its fields (RFC 7578, 4.6)."""

_MIB = 1024 * 1024
_PARAMETER = re.compile(r';\s*([\w!#$%&+.^`|~*-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;\s"]*)', re.ASCII)
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")
_NEEDS_DATA = b""  # the parser never yields it
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class UploadRules(Struct, frozen=True):
    """Which parts of a form hold files, how many files it may have, and how it is refused."""

    file_fields: frozenset[str]
    max_files: int
    hint: str

    @property
    def single(self) -> bool:
        """Whether one document is expected, and not a batch."""
        return self.max_files == 1

    def no_file(self) -> HttpProblem:
        """Return the answer to a request without a file."""
        error = "No file provided" if self.single else "No files provided"
        return HttpProblem(400, "no_file", error, detail=self.hint)

    def too_many(self, provided: int) -> HttpProblem:
        """Return the answer to more files than ``max_files``; the rest is not counted."""
        if self.single:
            return HttpProblem(400, "too_many_files", "Only one file can be submitted at a time")
        error, details = f"Maximum {self.max_files} files per batch", {"provided": provided}
        return HttpProblem(400, "too_many_files", error, details=details, members=details)

    def empty(self, name: str) -> HttpProblem:
        """Return the answer to a file without bytes."""
        error = "The file is empty" if self.single else f'File "{name}" is empty'
        return HttpProblem(400, "empty_file", error)

    def too_large(self, name: str, size: int, limits: Limits) -> HttpProblem:
        """Return the contract's answer to a file of ``size`` bytes, or more."""
        if self.single:
            return too_large(size, limits)
        error = f'File "{name}" exceeds {limits.max_file_bytes / _MIB:g}MB limit'
        members = {"fileSize": size}
        details = members | {"maxSize": limits.max_file_bytes}
        return HttpProblem(400, "file_too_large", error, details=details, members=members)


SINGLE_FILE = UploadRules(
    frozenset({"file"}),
    1,
    'Send multipart/form-data with the document in a part named "file", '
    "or the document itself as the body with its Content-Type. "
    "With curl: -F file=@paper.pdf; without the @ it sends the name instead of the file.",
)
BATCH_FILES = UploadRules(
    frozenset({"file", "files", "files[]"}),
    MAX_BATCH_DOCUMENTS,
    'Send multipart/form-data with each document in a part named "files". '
    "With curl: -F files=@one.pdf -F files=@two.pdf; without the @ it sends the names instead.",
)


class UploadedFile(Struct, frozen=True):
    """A stored document. ``content_type`` is the client's claim."""

    blob: Blob
    file_name: str
    content_type: str


class UploadForm(Struct, frozen=True):
    """The documents of a request, and the fields of its query and its form."""

    files: list[UploadedFile] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)


def too_large(size: int, limits: Limits) -> HttpProblem:
    """Return the contract's answer to a single file of ``size`` bytes, or more."""
    most = limits.max_file_bytes
    return HttpProblem(
        400,
        "file_too_large",
        f"File size exceeds {most / _MIB:g}MB limit",
        details={
            "fileSize": size,
            "maxSize": most,
            "fileSizeMB": f"{size / _MIB:.2f}",
            "maxSizeMB": most // _MIB,
        },
    )


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


class UploadReader:
    """Stores the documents of one request. ``written_keys`` are those under which bytes may lie."""

    def __init__(
        self,
        request: web.Request,
        edge: Edge,
        rules: UploadRules,
        make_key: Callable[[int], str],
    ) -> None:
        self._request = request
        self._blobs = edge.blobs
        self._limits = edge.limits
        self._disk_space = edge.disk_space
        self._rules = rules
        self._make_key = make_key
        self._deadline = ReadDeadline(edge.limits)
        self._form = UploadForm(fields=dict(request.query))
        self.written_keys: set[str] = set()

    async def read_body(self) -> UploadForm:
        """Store the whole body as the document; its name is in the query."""

        async def read_chunk() -> bytes:
            return await self._deadline.read(self._request.content.read(CHUNK_BYTES))

        name = clean_name(self._request.query.get("fileName", ""))
        blob = await self._store(read_chunk, name)
        if not blob.size:
            raise self._rules.empty(name)
        claimed = media_type(self._request.headers.get("Content-Type"))
        self._form.files.append(UploadedFile(blob, name, claimed or DEFAULT_CONTENT_TYPE))
        return self._form

    async def read_form(self) -> UploadForm:
        """Store the files and collect the fields around them, in any order."""
        content_type = self._request.headers.get("Content-Type", "")
        reader = FormReader(content_type, self._request.content, self._deadline)
        fields = parts = 0
        while (part := await reader.next_part()) is not None:
            await asyncio.sleep(0)  # a turn for others: all the parts may be here already
            parts += 1
            self._check_part_count(parts, self._rules.max_files)
            if part.name in self._rules.file_fields:
                await self._read_file(reader, part)
            elif part.file_name is not None:
                raise self._rules.no_file()
            else:
                fields += 1
                self._check_part_count(fields, 0)  # each is held in memory
                self._add_field(part.name, await self._read_field(reader))
        if not self._form.files:
            raise self._rules.no_file()
        return self._form

    def _check_part_count(self, parts: int, files: int) -> None:
        if parts >= self._limits.max_parts + files:
            raise HttpProblem(400, "too_many_parts", "The form has too many parts")

    def _add_field(self, name: str, value: str) -> None:
        if name != CHARSET_FIELD:
            self._form.fields[name] = value
        elif value.lower() not in ("utf-8", "utf8"):
            raise _not_utf8()

    async def _read_file(self, reader: "FormReader", part: "FormPart") -> None:
        if len(self._form.files) == self._rules.max_files:
            raise self._rules.too_many(self._rules.max_files + 1)
        claimed = media_type(part.content_type)
        if part.file_name is None and (claimed or DEFAULT_PART_TYPE) == DEFAULT_PART_TYPE:
            raise self._rules.no_file()  # a field: only what is not text may be a nameless file
        name = clean_name(part.file_name or "")
        blob = await self._store(reader.read_chunk, name)
        if blob.size:
            self._form.files.append(UploadedFile(blob, name, claimed or DEFAULT_CONTENT_TYPE))
        elif part.file_name:
            raise self._rules.empty(name)
        else:
            # A form whose file was not chosen has an empty file without a name.
            await self._blobs.delete(blob.key)

    async def _store(self, read_chunk: Callable[[], Awaitable[bytes]], name: str) -> Blob:
        key = self._make_key(len(self._form.files) + 1)
        self.written_keys.add(key)
        return await self._blobs.put(key, self._bounded_chunks(read_chunk, name))

    async def _bounded_chunks(
        self, read_chunk: Callable[[], Awaitable[bytes]], name: str
    ) -> AsyncIterator[bytes]:
        size = 0
        while chunk := await read_chunk():
            size += len(chunk)
            if size > self._limits.max_file_bytes:
                raise self._rules.too_large(name, size, self._limits)
            self._disk_space.reserve(len(chunk))
            yield chunk

    async def _read_field(self, reader: "FormReader") -> str:
        value = bytearray()
        while chunk := await reader.read_chunk():
            value += chunk
            if len(value) > self._limits.max_field_bytes:
                raise HttpProblem(400, "field_too_large", "A field of the form is too large")
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise _not_utf8() from None


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
                chunk = await self._deadline.read(self._content.read(CHUNK_BYTES))
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


def _not_utf8() -> HttpProblem:
    return HttpProblem(400, "field_not_utf8", "A field of the form is not UTF-8")
