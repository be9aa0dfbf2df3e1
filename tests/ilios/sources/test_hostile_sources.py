"""Hostile sources whose responses are expensive to read."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from actors.ports import DownloadFailed
from ilios.sources import connection
from ilios.sources import http as module
from ilios.sources.connection import SourceConnection
from ilios.sources.http import HttpDownloads

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[[Talk], Awaitable[str]]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves raw bytes; returns the URL."""
    servers: list[asyncio.Server] = []
    serving: set[asyncio.Task[None]] = set()

    async def start(talk: Talk) -> str:
        async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            me = asyncio.current_task()
            assert me is not None
            serving.add(me)
            with suppress(ConnectionError, asyncio.CancelledError):
                await reader.readuntil(b"\r\n\r\n")
                await talk(reader, writer)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            serving.discard(me)

        server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"

    yield start
    for server in servers:
        server.close()
    for task in serving:
        task.cancel()
    if serving:
        await asyncio.wait(serving)


def sending(*pieces: bytes, for_ever: bytes = b"", every: float = 0.0) -> Talk:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        while for_ever:
            writer.write(for_ever)
            await writer.drain()
            await asyncio.sleep(every)

    return talk


def fetching(url: str, **settings: float) -> AsyncIterator[bytes]:
    allowed = url.removeprefix("http://").removesuffix("/")
    return HttpDownloads(allow={allowed}, **settings).fetch(url)  # type: ignore[arg-type]


async def body(url: str, **settings: float) -> bytes:
    return b"".join([piece async for piece in fetching(url, **settings)])


async def refusal(url: str, **settings: float) -> DownloadFailed:
    async with asyncio.timeout(30):
        with pytest.raises(DownloadFailed) as caught:
            await body(url, **settings)
    return caught.value


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all reads."""
    sizes: list[int] = []
    received = SourceConnection.data_received

    def counted(self: SourceConnection, data: bytes) -> None:
        if data:
            sizes.append(len(data))
        received(self, data)

    monkeypatch.setattr(SourceConnection, "data_received", counted)
    return sizes


async def test_a_source_below_the_minimal_rate_times_out(
    serve: Serve,
) -> None:
    url = await serve(sending(HEAD % 10_000_000, for_ever=b"x", every=0.01))
    refused = await refusal(url, grace=0.3)
    assert (refused.code, refused.retryable) == ("source_timeout", True)
    assert "slow" in refused.reason


async def test_a_fast_source_that_slows_down_times_out(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MIN_BYTES_PER_SECOND", 1_000_000)
    url = await serve(sending(HEAD % 10_000_000, bytes(400_000), for_ever=b"x", every=0.01))
    assert (await refusal(url, grace=0.1)).code == "source_timeout"


async def test_all_hops_have_one_deadline(serve: Serve) -> None:
    """Each hop alone is fast enough."""

    async def redirect(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    url = await serve(redirect)
    assert (await refusal(url, grace=0.5, read_within=0.4)).code == "source_timeout"
    assert (await refusal(url, grace=60)).code == "source_refused", "too many redirects"


@pytest.mark.parametrize("status", [b"100 Continue", b"102 Processing", b"103 Early Hints"])
async def test_informational_responses_are_limited(serve: Serve, status: bytes) -> None:
    url = await serve(sending(for_ever=b"HTTP/1.1 %b\r\n\r\n" % status * 1000))
    assert (await refusal(url)).code == "source_unreachable"


async def test_a_few_informational_responses_are_accepted(serve: Serve) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    url = await serve(sending(hint * 3, HEAD % 4, b"body"))
    assert await body(url) == b"body"


async def test_the_size_of_a_header_is_limited(serve: Serve) -> None:
    lines = b"".join(b"X-%d: %b\r\n" % (number, b"y" * 8000) for number in range(100))
    url = await serve(sending(b"HTTP/1.1 200 OK\r\n", lines))
    assert (await refusal(url)).code == "source_unreachable"


async def test_chunk_extensions_do_not_count_for_the_minimal_rate(serve: Serve) -> None:
    url = await serve(sending(CHUNKED, b"5;a=", for_ever=b"e" * 1000, every=0.01))
    assert (await refusal(url, grace=0.3)).code in ("source_timeout", "source_unreachable")


async def test_single_bytes_are_read_in_larger_pieces(serve: Serve, reads: list[int]) -> None:
    """Each read costs time of the event loop, however small it is."""

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD % 2000)
        for _number in range(2000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0)

    assert await body(await serve(drip)) == b"x" * 2000
    assert len(reads) < 200


async def test_a_document_in_chunks_of_one_byte_arrives_whole_and_in_few_pieces(
    serve: Serve,
) -> None:
    whole = bytes(range(256)) * 400
    url = await serve(
        sending(CHUNKED, b"".join(b"1\r\n%c\r\n" % byte for byte in whole), b"0\r\n\r\n")
    )
    pieces = [piece async for piece in fetching(url)]
    assert b"".join(pieces) == whole
    assert len(pieces) <= 2


async def test_costly_responses_do_not_block_the_event_loop(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[int] = []
    pauses: list[float] = []
    parse = SourceConnection._parse_piece
    wait = SourceConnection._wait

    def parsed(self: SourceConnection) -> None:
        before = len(self._unparsed)
        parse(self)
        pieces.append(before - len(self._unparsed))

    def waited(self: SourceConnection, pause: float) -> None:
        pauses.append(pause)
        wait(self, pause)

    monkeypatch.setattr(connection, "COSTLY", 1e-9)  # so that every piece is
    monkeypatch.setattr(SourceConnection, "_parse_piece", parsed)
    monkeypatch.setattr(SourceConnection, "_wait", waited)
    url = await serve(sending(CHUNKED, b"1\r\nx\r\n" * 50_000, b"0\r\n\r\n"))
    assert len(await body(url)) == 50_000
    assert max(pieces) <= connection.PARSED_AT_ONCE
    assert sum(pause > 0 for pause in pauses) >= 300_000 / connection.PARSED_AT_ONCE


async def test_a_large_document_arrives_as_it_was_sent(serve: Serve) -> None:
    whole = bytes(range(256)) * 40_000
    url = await serve(sending(HEAD % len(whole), whole))
    assert await body(url) == whole
    url = await serve(sending(CHUNKED, b"%x\r\n%b\r\n" % (len(whole), whole), b"0\r\n\r\n"))
    assert await body(url) == whole


async def test_a_slow_reader_pauses_the_source_and_loses_nothing(serve: Serve) -> None:
    whole = bytes(range(256)) * 20_000
    url = await serve(sending(b"HTTP/1.1 200 OK\r\n\r\n", whole))
    read = bytearray()
    async for piece in fetching(url):
        read += piece
        await asyncio.sleep(0.002)
    assert bytes(read) == whole
