"""Takes documents out of a request's body: a form with files (RFC 7578), or the bare bytes.

The bytes go straight to the blob store; memory use does not depend on their number.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable

from aiohttp import BodyPartReader, MultipartReader, StreamReader, web
from msgspec import Struct, field

from ilios.edge.errors import Refused
from ilios.edge.form_bodies import FormBody, reader_of
from ilios.edge.keys import Edge, Limits
from ilios.edge.names import part_names
from ilios.edge.pace import Pace
from ilios.file_names import clean_name
from schemas.batches import MAX_DOCUMENTS
from schemas.documents import UNKNOWN_TYPE, Blob

CHUNK_BYTES = 256 * 1024
FIELD_TYPE = "text/plain"
"""What a part of a form is that does not say (RFC 7578 section 4.4)."""

_MIB = 1024 * 1024
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")


class Wanted(Struct, frozen=True):
    """What one request may hand in: the names of parts that hold files, and how many of them."""

    parts: frozenset[str]
    most: int
    how_to: str

    @property
    def single(self) -> bool:
        """Whether it is a document, and not a batch."""
        return self.most == 1

    def no_file(self) -> Refused:
        """Return the answer to a request without a file."""
        error = "No file provided" if self.single else "No files provided"
        return Refused(400, "no_file", error, detail=self.how_to)

    def too_many(self, provided: int) -> Refused:
        """Return the answer to more files than are taken; the rest was not counted."""
        if self.single:
            return Refused(400, "too_many_files", "Only one file can be submitted at a time")
        error, counted = f"Maximum {self.most} files per batch", {"provided": provided}
        return Refused(400, "too_many_files", error, details=counted, members=counted)

    def empty(self, name: str) -> Refused:
        """Return the answer to a file without bytes."""
        error = "The file is empty" if self.single else f'File "{name}" is empty'
        return Refused(400, "empty_file", error)

    def too_large(self, name: str, size: int, limits: Limits) -> Refused:
        """Return the contract's answer to a file of ``size`` bytes, or more."""
        if self.single:
            return too_large(size, limits)
        error = f'File "{name}" exceeds {limits.max_file_bytes / _MIB:g}MB limit'
        counted = {"fileSize": size}
        details = counted | {"maxSize": limits.max_file_bytes}
        return Refused(400, "file_too_large", error, details=details, members=counted)


ONE = Wanted(
    frozenset({"file"}),
    1,
    'Send multipart/form-data with the document in a part named "file", '
    "or the document itself as the body with its Content-Type. "
    "With curl: -F file=@paper.pdf; without the @ it sends the name instead of the file.",
)
MANY = Wanted(
    frozenset({"file", "files", "files[]"}),
    MAX_DOCUMENTS,
    'Send multipart/form-data with each document in a part named "files". '
    "With curl: -F files=@one.pdf -F files=@two.pdf; without the @ it sends the names instead.",
)


class Upload(Struct, frozen=True):
    """A document as it was received. ``content_type`` is what the client says it is."""

    blob: Blob
    file_name: str
    content_type: str


class Form(Struct, frozen=True):
    """What a request handed in. ``fields`` are those of the query and of the form."""

    files: list[Upload] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)


def too_large(size: int, limits: Limits) -> Refused:
    """Return the contract's answer to a lone file of ``size`` bytes, or more."""
    most = limits.max_file_bytes
    return Refused(
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
    return claimed if _TYPE.fullmatch(claimed) else None


class Taking:
    """The reading of one request's body. ``begun`` are the keys under which something may lie."""

    def __init__(
        self,
        request: web.Request,
        edge: Edge,
        wanted: Wanted,
        key_of: Callable[[int], str],
    ) -> None:
        self._request = request
        self._blobs = edge.blobs
        self._limits = edge.limits
        self._room = edge.room
        self._wanted = wanted
        self._key_of = key_of
        self._pace = Pace(edge.limits)
        self._taken = Form(fields=dict(request.query))
        self.begun: set[str] = set()

    async def bare(self) -> Form:
        """Take the whole body as the document, its name from the query."""
        name = clean_name(self._request.query.get("fileName", ""))
        blob = await self._store(self._request.content, name)
        if not blob.size:
            raise self._wanted.empty(name)
        claimed = media_type(self._request.headers.get("Content-Type"))
        self._taken.files.append(Upload(blob, name, claimed or UNKNOWN_TYPE))
        return self._taken

    async def form(self) -> Form:
        """Take the files and the fields around them, in any order."""
        body = FormBody(self._request.content)
        reader = await self._pace.read(reader_of(self._request, body))
        fields = parts = 0
        while (part := await self._pace.read(reader.next())) is not None:
            body.begin_part()
            await asyncio.sleep(0)  # a turn for others: all the parts may be here already
            parts += 1
            self._refuse_many(parts, self._wanted.most)
            part = _plain(part)
            name, file_name = part_names(part.headers.get("Content-Disposition", ""))
            if name in self._wanted.parts:
                await self._file(part, file_name)
            elif file_name is not None:
                raise self._wanted.no_file()
            else:
                fields += 1
                self._refuse_many(fields, 0)  # each is held in memory
                self._taken.fields[name or ""] = await self._field(part)
        if not self._taken.files:
            raise self._wanted.no_file()
        return self._taken

    def _refuse_many(self, parts: int, files: int) -> None:
        if parts >= self._limits.max_parts + files:
            raise Refused(400, "too_many_parts", "The form has too many parts")

    async def _file(self, part: BodyPartReader, file_name: str | None) -> None:
        if len(self._taken.files) == self._wanted.most:
            raise self._wanted.too_many(self._wanted.most + 1)
        if file_name is None and _is_text(part):
            raise self._wanted.no_file()
        name = clean_name(file_name or "")
        blob = await self._store(part, name)
        if blob.size:
            claimed = media_type(part.headers.get("Content-Type"))
            self._taken.files.append(Upload(blob, name, claimed or UNKNOWN_TYPE))
        elif file_name:
            raise self._wanted.empty(name)
        else:
            # A form whose file was not chosen has an empty file without a name.
            await self._blobs.delete(blob.key)

    async def _store(self, source: BodyPartReader | StreamReader, name: str) -> Blob:
        key = self._key_of(len(self._taken.files) + 1)
        self.begun.add(key)
        return await self._blobs.put(key, self._counted(source, name))

    async def _counted(
        self, source: BodyPartReader | StreamReader, name: str
    ) -> AsyncIterator[bytes]:
        size = 0
        read = source.read_chunk if isinstance(source, BodyPartReader) else source.read
        while chunk := await self._pace.read(read(CHUNK_BYTES)):
            size += len(chunk)
            if size > self._limits.max_file_bytes:
                raise self._wanted.too_large(name, size, self._limits)
            self._room.take(len(chunk))
            yield chunk

    async def _field(self, part: BodyPartReader) -> str:
        value = bytearray()
        while chunk := await self._pace.read(part.read_chunk(CHUNK_BYTES)):
            value += chunk
            if len(value) > self._limits.max_field_bytes:
                raise Refused(400, "field_too_large", "A field of the form is too large")
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise Refused(400, "field_not_utf8", "A field of the form is not UTF-8") from None


def _plain(part: MultipartReader | BodyPartReader) -> BodyPartReader:
    if not isinstance(part, BodyPartReader):
        raise Refused(400, "nested_form", "A form inside a form is not supported")
    encoding = part.headers.get("Content-Transfer-Encoding", "binary").lower()
    if encoding not in ("binary", "8bit", "7bit"):
        # Deprecated for forms by RFC 7578 section 4.7; taken as it is, it would not be the file.
        raise Refused(400, "encoding_unsupported", "A part of the form is encoded")
    return part


def _is_text(part: BodyPartReader) -> bool:
    """Whether a part without a file name is a field: what is not text is a file all the same."""
    return (media_type(part.headers.get("Content-Type")) or FIELD_TYPE) == FIELD_TYPE
