"""Files at Mistral by aiohttp and msgspec: the sweep of every start must not load the SDK."""

from urllib.parse import quote

import aiohttp
import msgspec
from msgspec import Struct

from ilios.engines.mistral.errors import RefusedCall
from ilios.engines.mistral.ocr import proxy_of
from ilios.engines.mistral.records import UploadedFile

LIST_PAGE_SIZE = 100
PATH = "/v1/files"


class _File(Struct):
    id: str
    filename: str


class _Files(Struct):
    data: list[_File]


_files = msgspec.json.Decoder(_Files)


class FilesEndpoint:
    """Makes single calls in a session, without retries. Errors as ``OcrEndpoint.call``."""

    def __init__(self, session: aiohttp.ClientSession, server_url: str) -> None:
        self._session = session
        self._url = server_url.rstrip("/") + PATH
        self._proxy = proxy_of(self._url)

    async def page(self, number: int, size: int, **wanted: str) -> list[UploadedFile]:
        """Return a page of the files that are ``wanted`` (all if nothing is); the first page is 0.

        The API has ``search``, a part of the name, and ``purpose``.
        """
        query: dict[str, str | int] = {"page": number, "page_size": size, **wanted}
        async with self._session.get(self._url, params=query, proxy=self._proxy) as response:
            found = _files.decode(await _read(response))
        return [UploadedFile(one.id, one.filename) for one in found.data]

    async def delete(self, file_id: str) -> None:
        """Delete a file."""
        url = f"{self._url}/{quote(file_id, safe='')}"
        async with self._session.delete(url, proxy=self._proxy) as response:
            await _read(response)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = await response.read()
    if response.status != 200:
        raise RefusedCall(response.status, body.decode(errors="replace"), response.headers)
    return body
