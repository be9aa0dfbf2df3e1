"""Receives uploads, whole or not at all: refused early, invited late, limited, discarded on errors.

The bytes go straight to the blob store, so memory use does not depend on their number. An upload
holds a slot while its body is read and stored, not while it is converted. Without a free slot it
waits a moment and is then refused, before its body is invited. A tenant with half of the slots
leaves some free for the others, for an upload that has begun is never broken off.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import structlog
from aiohttp import HttpVersion11, web
from msgspec import Struct, field

from actors.ports import Blobs
from actors.sniffing import Ends
from actors.text_sniffing import Claim
from ilios.edge import archives
from ilios.edge.context import EDGE, TENANT, Edge, Limits
from ilios.edge.errors import RETRY_AFTER, HttpProblem
from ilios.edge.multipart import CHUNK_BYTES, FormPart, FormReader, ReadDeadline, media_type
from ilios.runtime.fair_semaphore import FairSemaphore, HeldSlot
from ilios.visible import clean_name
from schemas.batches import MAX_BATCH_DOCUMENTS
from schemas.documents import DEFAULT_CONTENT_TYPE, Blob, Stored

FORM_OVERHEAD = 2 * 1024 * 1024
"""How much longer than its files a form may be."""

RESERVED_SHARE = 8
"""One in so many slots, but at least one, is not for a tenant that has half of them."""

DEFAULT_PART_TYPE = "text/plain"
"""Type of a part without a ``Content-Type`` (RFC 7578, 4.4)."""
CHARSET_FIELD = "_charset_"
"""Field in which a form names the encoding of its fields (RFC 7578, 4.6)."""

FORM_TYPE = "multipart/form-data"
_MIB = 1024 * 1024
_NOT_FILE_TYPES = ("multipart/", "application/x-www-form-urlencoded", "application/json")

log = structlog.get_logger("edge")


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
    'Send multipart/form-data with each document in a part named "files", '
    "or a ZIP archive of them. "
    "With curl: -F files=@one.pdf -F files=@two.pdf; without the @ it sends the names instead.",
)


class UploadedFile(Struct, frozen=True):
    """A stored document. ``content_type`` is the client's claim, ``detected`` what it is."""

    blob: Blob
    file_name: str
    content_type: str
    detected: str | None

    def source(self, suffix: str) -> Stored:
        """Return the source of its document, stored under a key with this suffix."""
        return Stored(self.blob.size, self.blob.sha256, suffix, self.detected)


class UploadForm(Struct, frozen=True):
    """The documents of a request, the fields of its query and its form, and other file fields."""

    files: list[UploadedFile] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    unknown_files: list[str] = field(default_factory=list)


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


class UploadLimiter:
    """Grants ``capacity`` slots; ``timeout`` is in seconds."""

    def __init__(self, capacity: int, timeout: float, *, multi_tenant: bool) -> None:
        reserved = max(1, capacity // RESERVED_SHARE) if multi_tenant and capacity > 1 else 0
        self._slots = FairSemaphore(capacity, extra=0, reserved=reserved)
        self._timeout = timeout

    def slot(self, tenant: str) -> HeldSlot:
        """Return the context of a slot, which raises an ``HttpProblem`` (503) if it is late."""
        return self._slots.slot(tenant=tenant, wait_timeout=self._timeout, on_timeout=_overloaded)


UPLOAD_LIMITER = web.AppKey("places", UploadLimiter)


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
            return await self._deadline.read_chunk(self._request.content, CHUNK_BYTES)

        name = clean_name(self._request.query.get("fileName", ""))
        claimed = media_type(self._request.headers.get("Content-Type"))
        file = await self._store(read_chunk, name, claimed)
        if not file.blob.size:
            raise self._rules.empty(name)
        self._form.files.append(file)
        return self._form

    async def read_form(self) -> UploadForm:
        """Store the files and collect the fields around them, in any order."""
        content_type = self._request.headers.get("Content-Type", "")
        reader = FormReader(content_type, self._request.content, self._deadline)
        fields = parts = 0
        while (part := await reader.next_part()) is not None:
            if parts:
                await asyncio.sleep(0)  # a turn for others: all the parts may be here already
            parts += 1
            self._check_part_count(parts, self._rules.max_files)
            if part.name in self._rules.file_fields:
                await self._read_file(reader, part)
            elif part.file_name is not None:
                self._form.unknown_files.append(part.name)
                await self._skip_file(reader)
            else:
                fields += 1
                self._check_part_count(fields, 0)  # each is in memory
                self._add_field(part.name, await self._read_field(reader))
        if not self._form.files:
            raise self._rules.no_file()
        return self._form

    async def _skip_file(self, reader: FormReader) -> None:
        size = 0
        while chunk := await reader.read_chunk():
            size += len(chunk)
            if size > self._limits.max_file_bytes:
                raise self._rules.no_file()

    def _check_part_count(self, parts: int, files: int) -> None:
        if parts >= self._limits.max_parts + files:
            raise HttpProblem(400, "too_many_parts", "The form has too many parts")

    def _add_field(self, name: str, value: str) -> None:
        if name != CHARSET_FIELD:
            if self._form.fields.setdefault(name, value) != value:
                error = f"The field {name!r} is given twice, with different values"
                raise HttpProblem(400, "malformed_request", error)
        elif value.lower() not in ("utf-8", "utf8"):
            raise _not_utf8()

    async def _read_file(self, reader: FormReader, part: FormPart) -> None:
        if len(self._form.files) == self._rules.max_files:
            raise self._rules.too_many(self._rules.max_files + 1)
        claimed = media_type(part.content_type)
        if part.file_name is None and (claimed or DEFAULT_PART_TYPE) == DEFAULT_PART_TYPE:
            raise self._rules.no_file()  # a field: only what is not text may be a nameless file
        name = clean_name(part.file_name or "")
        file = await self._store(reader.read_chunk, name, claimed)
        unknown = file.detected is None and not self._rules.single
        if unknown and await archives.is_archive(self._blobs, file.blob.key):
            await self._unpack(file.blob)
        elif file.blob.size:
            self._form.files.append(file)
        elif part.file_name:
            raise self._rules.empty(name)
        else:
            # A form whose file was not chosen has an empty file without a name.
            await self._blobs.delete(file.blob.key)

    async def _unpack(self, blob: Blob) -> None:
        """Store the files of an archive in its place."""
        key = self._make_key(archives.ARCHIVE_NUMBER)
        self.written_keys.add(key)
        async with archives.open_archive(self._request, self._blobs, blob, key) as archive:
            if (count := len(self._form.files) + len(archive.entries)) > self._rules.max_files:
                raise self._rules.too_many(count)
            for entry in archive.entries:
                file = await self._store(archive.open(entry), entry.name, None)
                if not file.blob.size:
                    raise self._rules.empty(entry.name)
                self._form.files.append(file)

    async def _store(
        self, read_chunk: Callable[[], Awaitable[bytes]], name: str, claimed: str | None
    ) -> UploadedFile:
        key, ends = self._make_key(len(self._form.files) + 1), Ends()
        self.written_keys.add(key)
        blob = await self._blobs.put(key, self._bounded_chunks(read_chunk, name, ends))
        detected = ends.sniff(Claim.of(name, claimed))
        return UploadedFile(blob, name, claimed or DEFAULT_CONTENT_TYPE, detected)

    async def _bounded_chunks(
        self, read_chunk: Callable[[], Awaitable[bytes]], name: str, ends: Ends
    ) -> AsyncIterator[bytes]:
        size = 0
        while chunk := await read_chunk():
            size += len(chunk)
            if size > self._limits.max_file_bytes:
                raise self._rules.too_large(name, size, self._limits)
            self._disk_space.reserve(len(chunk))
            ends.add(chunk)
            yield chunk

    async def _read_field(self, reader: FormReader) -> str:
        value = bytearray()
        while chunk := await reader.read_chunk():
            value += chunk
            if len(value) > self._limits.max_field_bytes:
                raise HttpProblem(400, "field_too_large", "A field of the form is too large")
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise _not_utf8() from None


async def defer_continue(_request: web.Request) -> None:
    """Leave ``Expect`` to ``send_continue``, so that a refused client never sends its body."""


async def receive(
    request: web.Request, rules: UploadRules, make_key: Callable[[int], str]
) -> UploadForm:
    """Store the documents of a request, the n-th under ``make_key(n)``; all of them or none.

    :raises HttpProblem: no file, too large, too slow, malformed, or too many are uploading.
    :raises StorageFull: there is no room for them, or it ends while they are stored.
    """
    edge = request.app[EDGE]
    _reject_early(request, edge.limits, rules)
    edge.disk_space.check(request.content_length or 0)
    async with request.app[UPLOAD_LIMITER].slot(request[TENANT]):
        await send_continue(request)
        reader = UploadReader(request, edge, rules, make_key)
        try:
            if _media_type(request) == FORM_TYPE:
                return await reader.read_form()
            return await reader.read_body()
        except BaseException:
            await discard(edge.blobs, *reader.written_keys)
            raise


def reject_compressed(request: web.Request) -> None:
    """Accept uncompressed bodies only: unpacked, one might be a bomb.

    :raises HttpProblem: it is compressed (415).
    """
    transferred = request.headers.get("Transfer-Encoding", "chunked")
    encoded = request.headers.get("Content-Encoding", "identity")
    if (transferred.lower(), encoded.lower()) != ("chunked", "identity"):
        raise HttpProblem(
            415,
            "encoding_unsupported",
            "Compressed request bodies are not supported",
            headers={"Accept-Encoding": "identity"},
        )


async def discard(blobs: Blobs, *keys: str) -> None:
    """Delete blobs of a refused request; one that cannot be deleted is left to the janitor."""
    # Shielded: or the upload of a client that hangs up now would stay in the store.
    await asyncio.shield(_discard(blobs, keys))


async def _discard(blobs: Blobs, keys: Iterable[str]) -> None:
    for key in keys:
        try:
            await blobs.delete(key)
        except Exception as error:  # noqa: BLE001  # the client gets the request's own error
            log.warning("upload not discarded", key=key, error=repr(error))


def _reject_early(request: web.Request, limits: Limits, rules: UploadRules) -> None:
    """Refuse requests whose header shows that they cannot be served."""
    reject_compressed(request)
    length, claimed = request.content_length or 0, _media_type(request)
    is_form = claimed == FORM_TYPE
    if length > rules.max_files * limits.max_file_bytes + (FORM_OVERHEAD if is_form else 0):
        raise too_large(length, limits)
    if not request.can_read_body or claimed is None:
        raise rules.no_file()
    if not is_form and (not rules.single or claimed.startswith(_NOT_FILE_TYPES)):
        raise rules.no_file()


def _media_type(request: web.Request) -> str | None:
    # Not request.content_type: there a header of 8 kB can cost half a second.
    return media_type(request.headers.get("Content-Type"))


async def send_continue(request: web.Request) -> None:
    """Send the ``100 Continue`` that ``defer_continue`` has deferred."""
    expected = request.headers.get("Expect")
    if expected is None or request.version < HttpVersion11:
        return
    if expected.lower() != "100-continue":
        raise HttpProblem(417, "expectation_failed", "The expectation is not supported")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _overloaded() -> HttpProblem:
    return HttpProblem(
        503,
        "overloaded",
        "The service takes in as many uploads as it can; try again in a moment",
        headers={"Retry-After": RETRY_AFTER},
    )


def _not_utf8() -> HttpProblem:
    return HttpProblem(400, "field_not_utf8", "A field of the form is not UTF-8")
