"""Hostile uploads get a clear 4xx; nothing is stored, nothing hangs."""

import asyncio
import gzip
import time

import pytest

from tests.ilios.edge.world import (
    PDF,
    World,
    field_part,
    file_part,
    multipart_form,
    post_request,
    read_response,
)

FORM = "multipart/form-data; boundary=BOUNDARY"
GOOD = multipart_form(file_part())

HOSTILE = {
    "a NUL in the file name": post_request(multipart_form(file_part("a\0.pdf"))),
    "an escape in the file name": post_request(multipart_form(file_part("a\x1b[31m.pdf"))),
    "a line break in the file name": post_request(
        multipart_form(file_part("a\r\nX-Injected: 1\r\n.pdf"))
    ),
    "a bare line feed in the file name": post_request(multipart_form(file_part("a\n.pdf"))),
    "a header without a colon": post_request(multipart_form(("nonsense", PDF))),
    "a header of 10 kB": post_request(multipart_form((f"Content-Type: {'a' * 10_000}", PDF))),
    "headers of 200 kB": post_request(
        multipart_form(("\r\n".join(f"X-{n}: {'a' * 1000}" for n in range(200)), PDF))
    ),
    "200 headers": post_request(
        multipart_form(("\r\n".join(f"X-{n}: a" for n in range(200)), PDF))
    ),
    "a header line of 1 MB": post_request(multipart_form((f"X: {'a' * 1_000_000}", PDF))),
    "no disposition": post_request(multipart_form(("X-Nothing: 1", PDF))),
    "a broken disposition": post_request(multipart_form(('Content-Disposition: ;;;="', PDF))),
    "10,000 empty parts": post_request(multipart_form(*[field_part("", b"")] * 10_000)),
    "30,000 tiny fields": post_request(multipart_form(*[field_part("a", b"b")] * 30_000)),
    "a field of 100 kB": post_request(
        multipart_form(field_part("format", b"x" * 100_000), file_part())
    ),
    "a field that is not UTF-8": post_request(
        multipart_form(field_part("retentionDays", b"\xff\xfe"), file_part())
    ),
    "another boundary": post_request(GOOD, content_type="multipart/form-data; boundary=OTHER"),
    "no boundary": post_request(GOOD, content_type="multipart/form-data"),
    "an empty boundary": post_request(GOOD, content_type='multipart/form-data; boundary=""'),
    "a boundary of 200 characters": post_request(GOOD, content_type=f"{FORM}{'x' * 200}"),
    "a boundary that is not ASCII": post_request(
        GOOD, content_type="multipart/form-data; boundary=\xfc"
    ),
    "no final boundary": post_request(GOOD.removesuffix(b"\r\n--BOUNDARY--\r\n")),
    "an end in the middle of the file": post_request(GOOD[:-30]),
    "an end in the middle of a header": post_request(GOOD[:40]),
    "an end after the boundary": post_request(b"--BOUNDARY"),
    "a preamble of 1 MB": post_request(b"x" * 1_000_000 + b"\r\n" + GOOD),
    "no form at all": post_request(b"hello"),
    "multipart/mixed": post_request(GOOD, content_type="multipart/mixed; boundary=BOUNDARY"),
    "a form in the form": post_request(
        multipart_form(("Content-Type: multipart/mixed; boundary=B", b"--B\r\n\r\nx\r\n--B--"))
    ),
    "a nested form without boundary": post_request(
        multipart_form(("Content-Type: multipart/mixed", b"x"))
    ),
    "a file in base64": post_request(
        multipart_form((file_part()[0] + "\r\nContent-Transfer-Encoding: base64", b"aGVsbG8="))
    ),
    "an unknown default charset": post_request(
        multipart_form(field_part("_charset_", b"x" * 100), file_part())
    ),
    "a compressed body": post_request(gzip.compress(GOOD), "Content-Encoding: gzip"),
    "a bomb": post_request(gzip.compress(bytes(20_000_000)), "Content-Encoding: gzip"),
    "an unknown encoding": post_request(GOOD, "Content-Encoding: what"),
    "no content type": post_request(GOOD, content_type=None),
    "a broken content type": post_request(GOOD, content_type="/;;="),
    "a length of 2^63": post_request(b"", length=2**63),
    "a length of 2^63 for bare bytes": post_request(
        b"", length=2**63, content_type="application/pdf"
    ),
    "a negative length": post_request(b"", length=-1),
    "an unknown expectation": post_request(GOOD, "Expect: miracles"),
    "a chunk size that is none": post_request(b"").replace(
        b"Content-Length: 0", b"Transfer-Encoding: chunked"
    )
    + b"zz\r\n",
    "chunks that break off into nonsense": post_request(b"").replace(
        b"Content-Length: 0", b"Transfer-Encoding: chunked"
    )
    + b"5\r\n--BOU\r\nnonsense\r\n",
    "both lengths": post_request(GOOD, "Transfer-Encoding: chunked"),
    "200 request headers": post_request(GOOD, *[f"X-{n}: a" for n in range(200)]),
    "a request header of 20 kB": post_request(GOOD, f"X-Long: {'a' * 20_000}"),
    "no HTTP": b"hello\r\n\r\n",
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
async def test_it_is_refused_clearly_and_nothing_stored(
    world: World, raw: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await world.serve()
    answer = await world.send_raw(raw)
    assert 400 <= answer.status < 500
    assert world.publisher.published == []
    assert world.stored_files() == set()
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["server"] == "ilios"
    problem = answer.json()
    assert problem["error"]
    assert problem["code"]
    assert problem["status"] == answer.status
    assert caplog.records == []  # aiohttp would write a traceback for some of these


async def test_thousands_of_parts_do_not_hold_up_the_others(world: World) -> None:
    client = await world.serve()
    reader, writer = await world.connect()
    writer.write(HOSTILE["30,000 tiny fields"])
    began = time.process_time()
    async with asyncio.timeout(30):
        async with client.get("/livez") as answer:
            assert answer.status == 200
        assert (await read_response(reader)).status == 400
    assert time.process_time() - began < 2
    writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        post_request(GOOD)[:-40],
        post_request(GOOD).removesuffix(GOOD),
        post_request(GOOD).removesuffix(GOOD) + b"--BOUND",
        post_request(PDF, content_type="application/pdf")[:-5],
    ],
)
async def test_a_silent_client_is_given_up(world: World, sent: bytes) -> None:
    await world.serve(read_timeout=0.05)
    answer = await world.send_raw(sent)
    assert (answer.status, answer.json()["code"]) == (408, "upload_too_slow")
    assert world.stored_files() == set()


async def test_a_dripping_client_is_given_up(world: World) -> None:
    await world.serve(slow_upload_grace=0.1, min_bytes_per_second=1_000_000)
    reader, writer = await world.connect()
    writer.write(post_request(GOOD, length=100_000)[:-20])

    async def drip() -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.01)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(20):
        answer = await read_response(reader)
    dripping.cancel()
    writer.close()
    assert answer.status == 408
    assert world.stored_files() == set()


async def test_a_slow_store_is_not_blamed_on_the_client(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = world.blobs.put

    async def slow(key: str, chunks: object) -> object:
        await asyncio.sleep(0.2)
        return await put(key, chunks)  # type: ignore[arg-type]

    monkeypatch.setattr(world.blobs, "put", slow)
    await world.serve(read_timeout=0.1, slow_upload_grace=0.1, min_bytes_per_second=10_000_000)
    assert (await world.send_raw(post_request(GOOD))).status == 202
