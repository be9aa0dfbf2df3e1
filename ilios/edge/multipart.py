"""Takes documents out of a request's body: a form with files (RFC 7578), or the bare bytes.

The bytes go straight to the blob store; memory use does not depend on their number.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable

from aiohttp import BodyPartReader, MultipartReader, StreamReader, web
from msgspec import Struct, field

from ilios.edge.body_reader import ReadDeadline
from ilios.edge.content_disposition import parse_part_names
from ilios.edge.context import Edge, Limits
from ilios.edge.errors import HttpProblem
from ilios.edge.multipart_body import BoundedBody, multipart_reader
from ilios.file_names import clean_name
from schemas.batches import MAX_BATCH_DOCUMENTS
from schemas.documents import DEFAULT_CONTENT_TYPE, Blob

CHUNK_BYTES = 256 * 1024
DEFAULT_PART_TYPE = "text/plain"
"""What a part of a form is that does not say (RFC 7578 section 4.4)."""

_MIB = 1024 * 1024
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")


class UploadRules(Struct, frozen=True):
    """What one request may hand in: the names of parts that hold files, and how many of them."""

    file_fields: frozenset[str]
    max_files: int
    hint: str

    @property
    def single(self) -> bool:
        """Whether it is a document, and not a batch."""
        return self.max_files == 1

    def no_file(self) -> HttpProblem:
        """Return the answer to a request without a file."""
        error = "No file provided" if self.single else "No files provided"
        return HttpProblem(400, "no_file", error, detail=self.hint)

    def too_many(self, provided: int) -> HttpProblem:
        """Return the answer to more files than are taken; the rest was not counted."""
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
    """A document as it was received. ``content_type`` is what the client says it is."""

    blob: Blob
    file_name: str
    content_type: str


class UploadForm(Struct, frozen=True):
    """What a request handed in. ``fields`` are those of the query and of the form."""

    files: list[UploadedFile] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)


def too_large(size: int, limits: Limits) -> HttpProblem:
    """Return the contract's answer to a lone file of ``size`` bytes, or more."""
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


def media_type(header: str | None) -> str | None:
    """Return what a ``Content-Type`` says without its parameters; None where it says nothing."""
    claimed = (header or "").partition(";")[0].strip().lower()
    return claimed if _MEDIA_TYPE.fullmatch(claimed) else None


class UploadReader:
    """The reading of one request's body. ``begun`` are the keys under which something may lie."""

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
        """Take the whole body as the document, its name from the query."""
        name = clean_name(self._request.query.get("fileName", ""))
        blob = await self._store(self._request.content, name)
        if not blob.size:
            raise self._rules.empty(name)
        claimed = media_type(self._request.headers.get("Content-Type"))
        self._form.files.append(UploadedFile(blob, name, claimed or DEFAULT_CONTENT_TYPE))
        return self._form

    async def read_form(self) -> UploadForm:
        """Take the files and the fields around them, in any order."""
        body = BoundedBody(self._request.content)
        reader = await self._deadline.read(multipart_reader(self._request, body))
        fields = parts = 0
        while (part := await self._deadline.read(reader.next())) is not None:
            body.begin_part()
            await asyncio.sleep(0)  # a turn for others: all the parts may be here already
            parts += 1
            self._check_part_count(parts, self._rules.max_files)
            part = _require_plain(part)
            name, file_name = parse_part_names(part.headers.get("Content-Disposition", ""))
            if name in self._rules.file_fields:
                await self._read_file(part, file_name)
            elif file_name is not None:
                raise self._rules.no_file()
            else:
                fields += 1
                self._check_part_count(fields, 0)  # each is held in memory
                self._form.fields[name or ""] = await self._read_field(part)
        if not self._form.files:
            raise self._rules.no_file()
        return self._form

    def _check_part_count(self, parts: int, files: int) -> None:
        if parts >= self._limits.max_parts + files:
            raise HttpProblem(400, "too_many_parts", "The form has too many parts")

    async def _read_file(self, part: BodyPartReader, file_name: str | None) -> None:
        if len(self._form.files) == self._rules.max_files:
            raise self._rules.too_many(self._rules.max_files + 1)
        if file_name is None and _is_text(part):
            raise self._rules.no_file()
        name = clean_name(file_name or "")
        blob = await self._store(part, name)
        if blob.size:
            claimed = media_type(part.headers.get("Content-Type"))
            self._form.files.append(UploadedFile(blob, name, claimed or DEFAULT_CONTENT_TYPE))
        elif file_name:
            raise self._rules.empty(name)
        else:
            # A form whose file was not chosen has an empty file without a name.
            await self._blobs.delete(blob.key)

    async def _store(self, source: BodyPartReader | StreamReader, name: str) -> Blob:
        key = self._make_key(len(self._form.files) + 1)
        self.written_keys.add(key)
        return await self._blobs.put(key, self._bounded_chunks(source, name))

    async def _bounded_chunks(
        self, source: BodyPartReader | StreamReader, name: str
    ) -> AsyncIterator[bytes]:
        size = 0
        read = source.read_chunk if isinstance(source, BodyPartReader) else source.read
        while chunk := await self._deadline.read(read(CHUNK_BYTES)):
            size += len(chunk)
            if size > self._limits.max_file_bytes:
                raise self._rules.too_large(name, size, self._limits)
            self._disk_space.reserve(len(chunk))
            yield chunk

    async def _read_field(self, part: BodyPartReader) -> str:
        value = bytearray()
        while chunk := await self._deadline.read(part.read_chunk(CHUNK_BYTES)):
            value += chunk
            if len(value) > self._limits.max_field_bytes:
                raise HttpProblem(400, "field_too_large", "A field of the form is too large")
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise HttpProblem(400, "field_not_utf8", "A field of the form is not UTF-8") from None


def _require_plain(part: MultipartReader | BodyPartReader) -> BodyPartReader:
    if not isinstance(part, BodyPartReader):
        raise HttpProblem(400, "nested_form", "A form inside a form is not supported")
    encoding = part.headers.get("Content-Transfer-Encoding", "binary").lower()
    if encoding not in ("binary", "8bit", "7bit"):
        # Deprecated for forms by RFC 7578 section 4.7; taken as it is, it would not be the file.
        raise HttpProblem(400, "encoding_unsupported", "A part of the form is encoded")
    return part


def _is_text(part: BodyPartReader) -> bool:
    """Whether a part without a file name is a field: what is not text is a file all the same."""
    return (media_type(part.headers.get("Content-Type")) or DEFAULT_PART_TYPE) == DEFAULT_PART_TYPE
