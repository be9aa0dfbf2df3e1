"""``/v1/files``: upload, list, retrieve, delete, download, and links that need no key.

Paths, fields and queries: ``mistralai.client.files``. The unit of an upload's ``expiry`` is
documented nowhere and taken to be the hour, as it is for links.
"""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from aiohttp import BodyPartReader, web
from multidict import MultiMapping

from tests.mistral import errors
from tests.mistral.errors import problem
from tests.mistral.responses import json_response
from tests.mistral.rules import Rules
from tests.mistral.store import File, Files

CHUNK = 1 << 20
MAX_HOURS = 168
PURPOSES = ("fine-tune", "batch", "ocr", "agentic_safety")
QUERIES = {
    "page",
    "page_size",
    "include_total",
    "sample_type",
    "source",
    "search",
    "purpose",
    "mimetypes",
}


class ReceivedUpload(NamedTuple):
    """An upload: the content and name of ``file``, and the other fields."""

    content: bytes | None
    filename: str
    fields: dict[str, str]


class FilesApi:
    """The handlers."""

    def __init__(self, rules: Rules, files: Files) -> None:
        self._rules = rules
        self._files = files

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Take a file and the fields beside it, in any order."""
        return await self.store(await self.receive(request))

    async def receive(self, request: web.Request) -> ReceivedUpload:
        """Read an upload, which may still be refused."""
        if not request.content_type.startswith("multipart/"):
            raise errors.invalid([problem(["body", "file"], "missing", "Field required")])
        content: bytes | None = None
        filename, fields = "", dict[str, str]()
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            if part.name == "file":
                filename = part.filename or ""
                content = await self._read_part(part)
            else:
                fields[part.name or ""] = await part.text()
        return ReceivedUpload(content, filename, fields)

    async def store(self, received: ReceivedUpload) -> web.StreamResponse:
        """Store an upload that is valid."""
        content, filename, fields = received
        if unknown := sorted(fields.keys() - {"purpose", "expiry", "visibility"}):
            message = "Extra inputs are not permitted"
            raise errors.invalid(
                problem(["body", name], "extra_forbidden", message) for name in unknown
            )
        if content is None or not filename:
            raise errors.invalid([problem(["body", "file"], "missing", "Field required")])
        purpose = fields.get("purpose", "fine-tune")
        visibility = fields.get("visibility", "workspace")
        _require_one_of("purpose", purpose, PURPOSES)
        _require_one_of("visibility", visibility, ("workspace", "user"))
        expiry = _number(fields, "expiry", least=1) if "expiry" in fields else None
        file = self._files.upload(content, filename, purpose, visibility=visibility, expiry=expiry)
        return json_response(file.view())

    async def _read_part(self, part: BodyPartReader) -> bytes:
        taken = bytearray()
        while chunk := await part.read_chunk(CHUNK):
            taken += chunk
            if len(taken) > self._rules.file_bytes:
                raise errors.too_large(len(taken), self._rules.file_bytes)
        return bytes(taken)

    async def list(self, request: web.Request) -> web.StreamResponse:
        """Show the files, the newest first; the first page is 0."""
        query = check_query(request.query, QUERIES)
        found = [file.view() for file in self._files.existing() if _matches(file, query)]
        total = len(found) if query.get("include_total", "true") == "true" else None
        shown = found[page_slice(query)]
        return json_response({"data": shown, "object": "list", "total": total})

    async def retrieve(self, request: web.Request) -> web.StreamResponse:
        file = self._files.get(path_id(request, "file_id"))
        return json_response({**file.view(), "deleted": False})

    async def delete(self, request: web.Request) -> web.StreamResponse:
        id_ = path_id(request, "file_id")
        self._files.delete(id_)
        return json_response({"id": id_, "object": "file", "deleted": True})

    async def content(self, request: web.Request) -> web.StreamResponse:
        file = self._files.get(path_id(request, "file_id"))
        return web.Response(body=file.content, content_type="application/octet-stream")

    async def url(self, request: web.Request) -> web.StreamResponse:
        """Return a link that opens the file for some hours."""
        query = check_query(request.query, {"expiry"})
        hours = _number(query, "expiry", 24, least=1, most=MAX_HOURS)
        link = self._files.sign(str(request.url.origin()), path_id(request, "file_id"), hours)
        return json_response({"url": link})

    async def download_link(self, request: web.Request) -> web.StreamResponse:
        """Follow such a link."""
        file = self._files.open_link(
            request.match_info["file_id"],
            request.query.get("expires", ""),
            request.query.get("signature", ""),
        )
        if file is None:
            return web.Response(status=403, text="This link is not, or no longer, valid.\n")
        return web.Response(body=file.content, content_type="application/octet-stream")


def path_id(request: web.Request, name: str) -> str:
    """Return the id in the path, which must look like one."""
    id_ = request.match_info[name]
    try:
        UUID(id_)
    except ValueError:
        message = "Input should be a valid UUID"
        raise errors.invalid([problem(["path", name], "uuid_parsing", message, id_)]) from None
    return id_


def check_query(query: MultiMapping[str], names: set[str]) -> MultiMapping[str]:
    """Return the query if it has no unknown parameters."""
    if unknown := sorted(query.keys() - names):
        message = "Extra inputs are not permitted"
        raise errors.invalid(
            problem(["query", name], "extra_forbidden", message) for name in unknown
        )
    return query


def _number(
    fields: Mapping[str, str], name: str, default: int = 0, *, least: int = 0, most: int = 10**9
) -> int:
    given = fields.get(name, str(default))
    if not given.isdecimal() or not least <= int(given) <= most:
        message = f"Input should be a valid integer from {least} to {most}"
        raise errors.invalid([problem([name], "int_parsing", message, given)])
    return int(given)


def page_slice(query: Mapping[str, str]) -> slice:
    """Return one page of a list."""
    page, size = _number(query, "page", 0), _number(query, "page_size", 100, least=1)
    return slice(page * size, (page + 1) * size)


def _require_one_of(name: str, given: str, words: tuple[str, ...]) -> None:
    if given not in words:
        message = f"Input should be one of {', '.join(words)}"
        raise errors.invalid([problem(["body", name], "literal_error", message, given)])


def _matches(file: File, query: MultiMapping[str]) -> bool:
    def among(name: str, value: str | None) -> bool:
        return name not in query or value in query.getall(name)

    return (
        among("purpose", file.purpose)
        and among("sample_type", file.sample_type)
        and among("source", file.source)
        and among("mimetypes", file.mimetype)
        and query.get("search", "").lower() in file.filename.lower()
    )
