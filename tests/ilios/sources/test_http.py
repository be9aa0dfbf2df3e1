import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from structlog.testing import capture_logs

from actors.ports import DownloadFailed
from actors.text_sniffing import Claim
from ilios.sources.http import HttpDownloads

OCTETS = "application/octet-stream"
SECRET = b"the secret of the house"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[int]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    runners: list[web.ServerRunner] = []

    async def start(handler: Handler) -> int:
        runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)  # type: ignore[arg-type]
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        assert isinstance(port, int)
        return port

    yield start
    for runner in runners:
        await runner.cleanup()


async def secret(_request: web.BaseRequest) -> web.Response:
    return web.Response(body=SECRET)


def to(location: str) -> Handler:
    async def redirect(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": location})

    return redirect


async def body(downloads: HttpDownloads, url: str) -> bytes:
    return b"".join([chunk async for chunk in downloads.fetch(url)])


async def refusal(downloads: HttpDownloads, url: str) -> DownloadFailed:
    with pytest.raises(DownloadFailed) as caught:
        await body(downloads, url)
    assert "127.0.0.1" not in caught.value.reason
    return caught.value


def allowing(port: int, **settings: float) -> HttpDownloads:
    return HttpDownloads(allow={f"127.0.0.1:{port}"}, **settings)  # type: ignore[arg-type]


class Rebinding(AbstractResolver):
    """Answers every name with loopback, as a hostile name server would."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        pass


async def test_an_allowed_address_is_fetched(serve: Serve) -> None:
    port = await serve(secret)
    assert await body(allowing(port), f"http://127.0.0.1:{port}/a.pdf?x=1") == SECRET


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "".join(chr(ord(c) + 0xFEE0) if c.isdigit() else c for c in "127.0.0.1"),  # full width
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ],
)
async def test_no_spelling_of_loopback_reaches_it(serve: Serve, host: str) -> None:
    port = await serve(secret)
    downloads = HttpDownloads(ports={port})
    refused = await refusal(downloads, f"http://{host}:{port}/")
    # The URL itself is refused where its host is no name and no address.
    assert refused.code in ("source_unreachable", "source_refused")


async def test_a_name_that_resolves_to_a_private_address_is_refused(serve: Serve) -> None:
    port = await serve(secret)
    downloads = HttpDownloads(ports={port}, resolver=Rebinding())
    refused = await refusal(downloads, f"http://files.example.com:{port}/")
    assert refused.code == "source_unreachable"


async def test_private_and_unreachable_addresses_fail_alike(serve: Serve) -> None:
    """Otherwise clients could scan the network of the service."""
    there = await serve(secret)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    inside = HttpDownloads(ports={there, port})
    answers = [
        await refusal(inside, f"http://127.0.0.1:{there}/"),
        await refusal(inside, f"http://127.0.0.1:{port}/"),
        await refusal(inside, f"http://localhost:{there}/"),
        await refusal(inside, f"http://there.is.no.such.name.invalid:{port}/"),
        await refusal(allowing(port), f"http://127.0.0.1:{port}/"),  # it is dialled
    ]
    (refused,) = {(one.code, one.reason, one.retryable) for one in answers}
    assert refused[0] == "source_unreachable"
    assert refused[2], "each is tried as often as the others"


async def test_the_reason_of_a_failed_download_is_only_in_the_log(serve: Serve) -> None:
    port = await serve(secret)
    with capture_logs() as logs:
        await refusal(HttpDownloads(ports={port}), f"http://localhost:{port}/")
    assert "ILIOS_DOWNLOAD_ALLOW" in logs[0]["event"]


async def test_a_redirect_to_a_private_address_is_refused(serve: Serve) -> None:
    inside = await serve(secret)
    outside = await serve(to(f"http://127.0.0.1:{inside}/"))
    downloads = HttpDownloads(allow={f"127.0.0.1:{outside}"}, ports={inside})
    assert (await refusal(downloads, f"http://127.0.0.1:{outside}/")).code == "source_unreachable"


async def test_a_redirect_between_allowed_addresses_is_followed(serve: Serve) -> None:
    port = await serve(secret)
    first = await serve(to(f"http://127.0.0.1:{port}/x"))
    downloads = HttpDownloads(allow={f"127.0.0.1:{first}", f"127.0.0.1:{port}"})
    assert await body(downloads, f"http://127.0.0.1:{first}/") == SECRET


async def test_redirects_are_limited(serve: Serve) -> None:
    port = await serve(to("/again"))
    refused = await refusal(allowing(port), f"http://127.0.0.1:{port}/")
    assert refused.code == "source_refused"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/a.pdf",
        "file:///etc/passwd",
        "data:text/plain,hello",
        "gopher://example.com/",
        "http://",
        "",
        "no address",
        "http://user:password@example.com/",
        "http://example.com:22/",
        "http://[::1",
        "http://example.com:99999/",
    ],
)
async def test_a_url_that_is_not_http_is_refused(url: str) -> None:
    refused = await refusal(HttpDownloads(), url)
    assert (refused.code, refused.retryable) == ("source_refused", False)


async def test_a_redirect_to_another_scheme_is_refused(serve: Serve) -> None:
    port = await serve(to("file:///etc/passwd"))
    assert (await refusal(allowing(port), f"http://127.0.0.1:{port}/")).code == "source_refused"


async def test_proxies_of_the_environment_are_not_used(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def proxy(request: web.BaseRequest) -> web.Response:
        asked.append(request.raw_path)
        return web.Response(body=b"of the proxy")

    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{await serve(proxy)}")
    port = await serve(secret)
    assert await body(allowing(port), f"http://127.0.0.1:{port}/") == SECRET
    refused = await refusal(HttpDownloads(ports={port}), f"http://127.0.0.1:{port}/")
    assert (refused.code, asked) == ("source_unreachable", [])


@pytest.mark.parametrize(
    ("status", "again"), [(404, False), (403, False), (204, False), (429, True), (503, True)]
)
async def test_a_status_other_than_200_is_reported(
    serve: Serve, status: int, again: object
) -> None:
    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=status)

    port = await serve(answer)
    refused = await refusal(allowing(port), f"http://127.0.0.1:{port}/")
    assert (refused.code, refused.retryable) == ("source_status", again)
    assert str(status) in refused.reason


async def test_a_compressed_response_is_not_decompressed(serve: Serve) -> None:
    async def bomb(_request: web.BaseRequest) -> web.Response:
        packed = gzip.compress(bytes(10_000_000))
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    port = await serve(bomb)
    assert (await refusal(allowing(port), f"http://127.0.0.1:{port}/")).code == "source_status"


async def test_a_source_with_a_too_large_content_length_is_not_read(serve: Serve) -> None:
    port = await serve(secret)
    refused = await refusal(allowing(port, max_bytes=10), f"http://127.0.0.1:{port}/")
    assert (refused.code, refused.retryable) == ("source_too_large", False)


async def test_a_source_without_a_content_length_is_limited(serve: Serve) -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(10_000))

    port = await serve(endless)
    refused = await refusal(allowing(port, max_bytes=100_000), f"http://127.0.0.1:{port}/")
    assert refused.code == "source_too_large"


async def test_a_silent_source_times_out(serve: Serve) -> None:
    async def silent(_request: web.BaseRequest) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    port = await serve(silent)
    refused = await refusal(allowing(port, read_within=0.05), f"http://127.0.0.1:{port}/")
    assert (refused.code, refused.retryable) == ("source_timeout", True)


async def test_the_total_time_of_a_download_is_limited(serve: Serve) -> None:
    async def dripping(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b".")
            await asyncio.sleep(0.01)

    port = await serve(dripping)
    refused = await refusal(allowing(port, total_within=0.1), f"http://127.0.0.1:{port}/")
    assert refused.code == "source_timeout"


async def test_a_truncated_response_is_an_error(serve: Serve) -> None:
    async def broken(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return response

    port = await serve(broken)
    refused = await refusal(allowing(port), f"http://127.0.0.1:{port}/")
    assert (refused.code, refused.retryable) == ("source_unreachable", True)


async def test_a_source_that_refuses_connections_is_unreachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    refused = await refusal(allowing(port), f"http://127.0.0.1:{port}/")
    assert (refused.code, refused.retryable) == ("source_unreachable", True)


@pytest.mark.parametrize(
    ("headers", "claim"),
    [
        ({"Content-Type": "text/html; charset=x"}, Claim((), ("text/html; charset=x",))),
        ({"Content-Disposition": 'attachment; filename="a b.md"'}, Claim(("a b.md",), (OCTETS,))),
        ({"Content-Disposition": "inline; filename=../../c.csv"}, Claim(("c.csv",), (OCTETS,))),
        (
            {"Content-Disposition": "attachment; filename*=UTF-8''d%C3%A9.md; filename=e"},
            Claim(("d\u00e9.md",), (OCTETS,)),
        ),
    ],
)
async def test_the_name_and_the_type_of_an_answer_are_passed_on(
    serve: Serve, headers: dict[str, str], claim: Claim
) -> None:
    async def page(_request: web.BaseRequest) -> web.Response:
        return web.Response(body=b"x", headers=headers)

    port = await serve(page)
    claims: list[Claim] = []
    downloads = allowing(port)
    found = [chunk async for chunk in downloads.fetch(f"http://127.0.0.1:{port}/", claims.append)]
    assert (found, claims) == ([b"x"], [claim])
