"""The OCR endpoint: what is sent, which answers are read, and how failures are classified."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from mistralai.client import Mistral

from actors.engines import Unconvertible
from ilios.engines.mistral import ocr
from ilios.engines.mistral.client import MistralClient
from ilios.engines.mistral.errors import ApiError, RefusedCall, classify
from ilios.engines.mistral.ocr import OcrResponse
from ilios.engines.mistral.responses import parse_response
from ilios.secret import Secret
from tests.free_ports import free_port

PAGE: dict[str, Any] = {"index": 0, "markdown": "# Hello", "images": [], "dimensions": None}
ANSWER: dict[str, Any] = {"pages": [PAGE], "model": "m", "usage_info": {"pages_processed": 1}}
DOCUMENT = {"type": "document_url", "document_url": "data:application/pdf;base64,JVBERi0="}

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """A server whose answer each test chooses; ``requests`` are headers and bodies."""

    def __init__(self) -> None:
        self.answer: Answering = self.succeed
        self.requests: list[tuple[Mapping[str, str], Any]] = []

    async def succeed(self, request: web.Request) -> web.StreamResponse:
        """Answer with one page."""
        return web.json_response(ANSWER)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note the request and answer it."""
        self.requests.append((request.headers, msgspec.json.decode(await request.read())))
        return await self.answer(request)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
async def url(api: Api) -> AsyncIterator[str]:
    app = web.Application(client_max_size=64 * 1024**2)
    app.router.add_post("/{any:.*}", api.handle)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def _call(
    url: str, document: dict[str, Any] = DOCUMENT, call_timeout: float = 30
) -> OcrResponse:
    async with MistralClient.open(
        Secret("key-1"), url, max_concurrent_calls=2, call_timeout=call_timeout
    ) as client:
        return await client.ocr("mistral-ocr-latest", document, [0, 2], images=False)


async def _failure(url: str, call_timeout: float = 30) -> ApiError | Unconvertible:
    with pytest.raises(Exception) as failed:  # noqa: PT011  classified below
        await _call(url, call_timeout=call_timeout)
    return classify(failed.value)


async def test_the_request_is_the_one_of_the_sdk(api: Api, url: str) -> None:
    await _call(url)
    async with Mistral(api_key="key-1", server_url=url) as sdk:
        await sdk.ocr.process_async(
            model="mistral-ocr-latest",
            document=DOCUMENT,
            pages=[0, 2],
            include_blocks=False,
            image_limit=0,
            table_format="markdown",
            extract_header=True,
            extract_footer=True,
            confidence_scores_granularity="page",
        )
    (ours, our_body), (theirs, their_body) = api.requests
    assert our_body == their_body
    for name in ("Authorization", "Content-Type", "Accept"):
        assert ours[name].lower() == theirs[name].lower()


async def test_a_body_of_megabytes_arrives_whole(api: Api, url: str) -> None:
    large = DOCUMENT | {"document_url": "data:application/pdf;base64," + "QUJD" * 1024 * 1024}
    await _call(url, large)
    assert api.requests[0][1]["document"] == large


async def test_a_redirect_is_followed_with_the_body(api: Api, url: str) -> None:
    async def moved(request: web.Request) -> web.StreamResponse:
        api.answer = api.succeed
        raise web.HTTPTemporaryRedirect("/elsewhere")

    api.answer = moved
    assert (await _call(url)).pages[0].markdown == "# Hello"
    assert api.requests[0][1] == api.requests[1][1]


async def test_an_answer_with_other_members_and_whole_floats_is_read(api: Api, url: str) -> None:
    async def unusual(request: web.Request) -> web.StreamResponse:
        page = PAGE | {
            "dimensions": {"dpi": 200.0, "height": 1, "width": 1},
            "blocks": [{"type": "of tomorrow"}],
            "tables": None,
            "header": None,
        }
        return web.json_response(ANSWER | {"pages": [page], "new": {}})

    api.answer = unusual
    (page,) = (await _call(url)).pages
    assert page.dimensions is not None
    assert page.dimensions.dpi == 200


async def test_an_answer_with_many_large_headers_is_read(api: Api, url: str) -> None:
    async def with_headers(request: web.Request) -> web.StreamResponse:
        headers = {f"X-Gateway-{n}": "x" for n in range(200)} | {"X-Policy": "y" * 20_000}
        return web.json_response(ANSWER, headers=headers)

    api.answer = with_headers
    assert (await _call(url)).pages[0].markdown == "# Hello"


def test_a_billed_answer_is_not_lost_for_a_letter() -> None:
    body = msgspec.json.encode(ANSWER).replace(b"Hello", b"H\xffllo")
    assert ocr.decode_response(body).pages[0].markdown == "# H\ufffdllo"


def test_an_answer_without_scores_and_formats_is_read() -> None:
    page = PAGE | {
        "confidence_scores": {
            "average_page_confidence_score": None,
            "minimum_page_confidence_score": None,
        },
        "tables": [{"id": "t", "content": "|a|", "format": None}],
    }
    answer = ocr.decode_response(msgspec.json.encode(ANSWER | {"pages": [page]}))
    (parsed,) = parse_response(answer, None, str).pages
    assert parsed.confidence is None
    assert parsed.tables[0].format == "unknown"


def test_an_answer_that_is_too_deep_cannot_be_understood() -> None:
    with pytest.raises(msgspec.DecodeError):
        ocr.decode_response(b'{"new":' + b"[" * 100_000)


async def test_a_call_on_a_connection_that_was_closed_meanwhile_is_made_on_a_new_one(
    api: Api, url: str
) -> None:
    async def close(request: web.Request) -> web.StreamResponse:
        answer = web.json_response(ANSWER)  # without "Connection: close"
        await answer.prepare(request)
        await answer.write_eof()
        assert request.transport is not None
        request.transport.close()
        return answer

    api.answer = close
    async with MistralClient.open(
        Secret("key-1"), url, max_concurrent_calls=2, call_timeout=30
    ) as client:
        for _ in range(4):
            await client.ocr("mistral-ocr-latest", DOCUMENT, None, images=False)
    assert len(api.requests) == 4


async def test_an_api_that_cannot_be_reached_is_down_and_bills_nothing() -> None:
    failure = await _failure(f"http://127.0.0.1:{free_port()}")
    assert isinstance(failure, ApiError)
    assert (failure.kind, failure.code) == ("down", "engine_unavailable")


async def test_a_connection_that_breaks_off_may_have_billed(api: Api, url: str) -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    api.answer = break_off
    failure = await _failure(url)
    assert isinstance(failure, ApiError)
    assert failure.kind == "lost"


async def test_a_call_without_an_answer_in_time_may_have_billed(api: Api, url: str) -> None:
    ended = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        await ended.wait()
        return web.Response()

    api.answer = hang
    failure = await _failure(url, call_timeout=0.2)
    ended.set()
    assert isinstance(failure, ApiError)
    assert failure.kind == "lost"


async def test_the_pause_the_api_asks_for_is_in_the_failure(api: Api, url: str) -> None:
    async def busy(request: web.Request) -> web.StreamResponse:
        return web.Response(status=429, headers={"Retry-After": "7"})

    api.answer = busy
    failure = await _failure(url)
    assert isinstance(failure, ApiError)
    assert (failure.kind, failure.retry_after) == ("busy", 7.0)


async def test_a_refused_document_is_no_failure_of_the_api(api: Api, url: str) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.json_response({"detail": [{"msg": "the PDF is encrypted"}]}, status=422)

    api.answer = refuse
    failure = await _failure(url)
    assert isinstance(failure, Unconvertible)
    assert failure.code == "password_protected"


async def test_the_key_is_in_no_failure(api: Api, url: str) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(status=500)

    api.answer = refuse
    with pytest.raises(RefusedCall) as failed:
        await _call(url)
    assert "key-1" not in repr(failed.value)


async def test_the_proxy_of_the_environment_is_used(
    api: Api, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", url)
    monkeypatch.setenv("no_proxy", "not.this.one")
    assert (await _call("http://api.invalid")).pages[0].markdown == "# Hello"
    assert api.requests[0][0]["Host"] == "api.invalid"


async def test_a_proxy_that_refuses_to_connect_bills_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        monkeypatch.setenv("https_proxy", f"http://user:word@127.0.0.1:{port}")
        failure = await _failure("https://api.invalid")
    assert isinstance(failure, ApiError)
    assert failure.kind == "down"


async def test_no_proxy_is_used_for_excepted_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "proxy.invalid:3128")
    monkeypatch.setenv("no_proxy", "api.invalid,ports.invalid:8443")
    assert ocr.proxy_of("https://api.invalid/v1/ocr") is None
    assert ocr.proxy_of("https://ports.invalid:8443/v1/ocr") is None
    assert ocr.proxy_of("https://other.invalid/v1/ocr") == "http://proxy.invalid:3128"
