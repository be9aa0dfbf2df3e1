"""Takes one document out of a request: a form with a file (RFC 7578), or the bare bytes.

The bytes go straight to the blob store; memory use does not depend on their number.
"""

import asyncio
import re
from collections.abc import AsyncIterator

import structlog
from aiohttp import BodyPartReader, HttpVersion11, MultipartReader, StreamReader, web
from msgspec import Struct

from actors.ports import Blobs
from ilios.edge.errors import Refused
from ilios.edge.keys import EDGE, Limits
from ilios.edge.names import part_names
from ilios.edge.pace import Pace
from ilios.file_names import clean_name
from schemas.documents import Blob

CHUNK_BYTES = 256 * 1024
FORM_OVERHEAD = 2 * 1024 * 1024
"""How much longer than its file a form may be."""
UNKNOWN_TYPE = "application/octet-stream"
FIELD_TYPE = "text/plain"
"""What a part of a form is that does not say (RFC 7578 section 4.4)."""

_MIB = 1024 * 1024
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")
_NOT_A_FILE = ("multipart/", "application/x-www-form-urlencoded", "application/json")
_HOW_TO = (
    'Send multipart/form-data with the document in a part named "file", '
    "or the document itself as the body with its Content-Type. "
    "With curl: -F file=@paper.pdf; without the @ it sends the name instead of the file."
)

log = structlog.get_logger("edge")


class Upload(Struct, frozen=True):
    """A document as it was received. ``content_type`` is what the client says it is."""

    blob: Blob
    file_name: str
    content_type: str
    fields: dict[str, str]


async def expect_later(_request: web.Request) -> None:
    """Answer ``Expect`` only once the body is wanted, so that a refused client never sends it."""


async def receive(request: web.Request, key: str) -> Upload:
    """Store the document of a request under ``key``; nothing stays there when this fails.

    :raises Refused: no file, too large, too slow, malformed.
    """
    edge = request.app[EDGE]
    _refuse_early(request, edge.limits)
    await _invite(request)
    taking = _Taking(request, edge.blobs, edge.limits, key)
    try:
        if request.content_type == "multipart/form-data":
            return await taking.form()
        return await taking.bare()
    except BaseException:
        await discard(edge.blobs, key)
        raise


async def discard(blobs: Blobs, key: str) -> None:
    """Delete a blob nobody will ask for; what cannot be deleted stays, and nobody refers to it."""
    try:
        # Shielded: a client that hangs up now must not keep its upload in the store.
        await asyncio.shield(blobs.delete(key))
    except Exception as error:  # noqa: BLE001  # the request's own error is the one to tell
        log.warning("upload not discarded", key=key, error=repr(error))


def too_large(size: int, limits: Limits) -> Refused:
    """Return the contract's answer to a file of ``size`` bytes, or more."""
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


def _refuse_early(request: web.Request, limits: Limits) -> None:
    """Refuse what the header alone shows cannot be served."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refused(
            415,
            "encoding_unsupported",
            "Compressed request bodies are not supported",
            headers={"Accept-Encoding": "identity"},
        )
    length = request.content_length or 0
    is_form = request.content_type == "multipart/form-data"
    if length > limits.max_file_bytes + (FORM_OVERHEAD if is_form else 0):
        raise too_large(length, limits)
    if not request.can_read_body or _media_type(request.headers.get("Content-Type")) is None:
        raise _no_file()
    if not is_form and request.content_type.startswith(_NOT_A_FILE):
        raise _no_file()


async def _invite(request: web.Request) -> None:
    """Send the ``100 Continue`` that ``expect_later`` has held back."""
    expected = request.headers.get("Expect")
    if expected is None or request.version < HttpVersion11:
        return
    if expected.lower() != "100-continue":
        raise Refused(417, "expectation_failed", "The expectation is not known")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer itself has not begun


class _Taking:
    """The reading of one request's body."""

    def __init__(self, request: web.Request, blobs: Blobs, limits: Limits, key: str) -> None:
        self._request = request
        self._blobs = blobs
        self._limits = limits
        self._key = key
        self._pace = Pace(limits)

    async def bare(self) -> Upload:
        """Take the whole body as the document, its name and fields from the query."""
        query = self._request.query
        blob = await self._blobs.put(self._key, self._counted(self._request.content))
        if not blob.size:
            raise _empty()
        return Upload(
            blob=blob,
            file_name=clean_name(query.get("fileName", "")),
            content_type=_media_type(self._request.headers.get("Content-Type")) or UNKNOWN_TYPE,
            fields=dict(query),
        )

    async def form(self) -> Upload:
        """Take the part named "file" and the fields around it, in any order."""
        reader = await self._pace.read(self._request.multipart())
        fields = dict(self._request.query)
        file: Upload | None = None
        parts = 0
        while (part := await self._pace.read(reader.next())) is not None:
            parts += 1
            if parts > self._limits.max_parts:
                raise Refused(400, "too_many_parts", "The form has too many parts")
            part = _plain(part)
            name, file_name = part_names(part.headers.get("Content-Disposition", ""))
            if name == "file":
                if file is not None:
                    raise Refused(400, "too_many_files", "Only one file can be submitted at a time")
                if file_name is None and _is_text(part):
                    raise _no_file()
                file = await self._file(part, file_name, fields)
            elif file_name is not None:
                raise _no_file()
            else:
                fields[name or ""] = await self._field(part)
        if file is None:
            raise _no_file()
        return file

    async def _file(self, part: BodyPartReader, name: str | None, fields: dict[str, str]) -> Upload:
        blob = await self._blobs.put(self._key, self._counted(part))
        if not blob.size:
            # A form whose file was not chosen has an empty file without a name.
            raise _empty() if name else _no_file()
        return Upload(
            blob=blob,
            file_name=clean_name(name or ""),
            content_type=_media_type(part.headers.get("Content-Type")) or UNKNOWN_TYPE,
            fields=fields,
        )

    async def _counted(self, source: BodyPartReader | StreamReader) -> AsyncIterator[bytes]:
        size = 0
        read = source.read_chunk if isinstance(source, BodyPartReader) else source.read
        while chunk := await self._pace.read(read(CHUNK_BYTES)):
            size += len(chunk)
            if size > self._limits.max_file_bytes:
                raise too_large(size, self._limits)
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
    return (_media_type(part.headers.get("Content-Type")) or FIELD_TYPE) == FIELD_TYPE


def _media_type(header: str | None) -> str | None:
    claimed = (header or "").partition(";")[0].strip().lower()
    return claimed if _TYPE.fullmatch(claimed) else None


def _no_file() -> Refused:
    return Refused(400, "no_file", "No file provided", detail=_HOW_TO)


def _empty() -> Refused:
    return Refused(400, "empty_file", "The file is empty")
