"""The OCR endpoint by aiohttp and msgspec: a third of the SDK's CPU time per call.

The SDK's models of this endpoint have members that are not read here.
"""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
from msgspec import Struct

from ilios import __version__
from ilios.engines.mistral.errors import RefusedCall
from ilios.secret import Secret

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 30.0  # after which an idle connection is closed
PATH = "/v1/ocr"
LARGE_BODY_BYTES = 1024 * 1024
"""Larger bodies are written in pieces, with turns of the event loop in between."""
HEADER_BYTES = 64 * 1024
MOST_HEADERS = 1000
"""What the headers of an answer may have: those of a gateway must not lose a billed one."""
MOST_CLOSED = 3
"""Closed connections in a row, after which a call fails."""


class OcrImage(Struct, frozen=True):
    """An image on a page; the corners may be missing."""

    id: str
    top_left_x: int | None = None
    top_left_y: int | None = None
    bottom_right_x: int | None = None
    bottom_right_y: int | None = None
    image_base64: str | None = None
    image_annotation: str | None = None


class OcrTable(Struct, frozen=True):
    """A table that the Markdown of its page refers to."""

    id: str
    content: str
    format: str | None = None


class OcrDimensions(Struct, frozen=True):
    """The size of a page in pixels."""

    dpi: int
    height: int
    width: int


class OcrConfidence(Struct, frozen=True):
    """How certain the reading of a page is, from 0 to 1."""

    average_page_confidence_score: float | None = None
    minimum_page_confidence_score: float | None = None


class OcrPage(Struct, frozen=True):
    """A page; ``index`` counts from 0."""

    index: int
    markdown: str
    images: list[OcrImage] | None = None
    tables: list[OcrTable] | None = None
    hyperlinks: list[str] | None = None
    header: str | None = None
    footer: str | None = None
    dimensions: OcrDimensions | None = None
    confidence_scores: OcrConfidence | None = None


class OcrUsage(Struct, frozen=True):
    """What is billed."""

    pages_processed: int


class OcrResponse(Struct, frozen=True):
    """The answer to a call."""

    pages: list[OcrPage]
    model: str
    usage_info: OcrUsage


# Not strict: an answer that was billed is not lost for 200.0 in the place of 200.
_responses = msgspec.json.Decoder(OcrResponse, strict=False)


def decode_response(body: bytes | msgspec.Raw) -> OcrResponse:
    """Return an answer.

    :raises msgspec.DecodeError: it is no answer of the endpoint.
    """
    try:
        return _responses.decode(body)
    except UnicodeDecodeError:  # a letter must not lose an answer that was billed
        return _responses.decode(bytes(body).decode(errors="replace"))
    except RecursionError as error:
        raise msgspec.DecodeError(str(error)) from error


@asynccontextmanager
async def open_session(
    key: Secret, *, max_connections: int, ssl_context: SSLContext
) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a pool of connections, which are made by the first calls."""
    async with aiohttp.ClientSession(
        headers={
            "Authorization": f"Bearer {key.get_secret_value()}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": f"ilios/{__version__}",
        },
        connector=aiohttp.TCPConnector(
            limit=max_connections, keepalive_timeout=IDLE_SECONDS, ssl=ssl_context
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        max_line_size=HEADER_BYTES,
        max_field_size=HEADER_BYTES,
        max_headers=MOST_HEADERS,
        # The time of the whole call is limited by the caller.
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
    ) as session:
        yield session


class OcrEndpoint:
    """Makes single calls in a session, without retries.

    Proxies are those of the environment, as for the SDK.
    """

    def __init__(self, session: aiohttp.ClientSession, server_url: str) -> None:
        self._session = session
        self._url = server_url.rstrip("/") + PATH
        self._proxy = proxy_of(self._url)

    async def call(self, request: dict[str, Any]) -> OcrResponse:
        """Make one call.

        :raises RefusedCall: the API answers with another status than 200.
        :raises aiohttp.ClientError: the connection failed.
        :raises msgspec.DecodeError: the answer cannot be understood.
        """
        body = msgspec.json.encode(request)
        for _ in range(MOST_CLOSED - 1):
            try:
                return await self._post(body)
            except aiohttp.ClientOSError as error:
                if not _was_closed_before(error):
                    raise
        return await self._post(body)

    async def _post(self, body: bytes) -> OcrResponse:
        data = body if len(body) <= LARGE_BODY_BYTES else io.BytesIO(body)
        async with self._session.post(self._url, data=data, proxy=self._proxy) as response:
            answer = await response.read()
            if response.status == 200:
                return decode_response(answer)
            raise RefusedCall(response.status, answer.decode(errors="replace"), response.headers)


def _was_closed_before(error: aiohttp.ClientOSError) -> bool:
    """Whether the body was not written, because the API had closed the idle connection.

    Such a call cannot have been billed. Any other broken connection may have sent all of it.
    """
    return isinstance(error.__cause__, aiohttp.ClientConnectionResetError)


def proxy_of(url: str) -> str | None:
    """Return the proxy that the environment names for an address, None if there is none.

    Looked up once: aiohttp would read it, and a netrc file in a thread, at every request.
    """
    address = urlsplit(url)
    if not address.hostname or proxy_bypass(address.netloc.rpartition("@")[2]):
        return None
    proxies = getproxies()
    found = proxies.get(address.scheme) or proxies.get("all")
    return found if found is None or "://" in found else f"http://{found}"
