"""What is thrown at one door is thrown at the others; and bytes, queries and ranges that lie."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession

from tests.ilios.edge import hostile
from tests.ilios.edge.test_hostile_uploads import HOSTILE
from tests.ilios.edge.world import (
    ID,
    PDF,
    World,
    file_part,
    multipart_form,
    post_request,
    read_response,
)

LONG = 8000
"""Bytes of an address the parser still takes."""


async def upload_path(client: ClientSession, **wanted: Any) -> str:
    """Ask for an upload URL and return it without its origin."""
    asked = {"fileName": "paper.pdf", "fileSize": len(PDF)} | wanted
    async with client.post(hostile.UPLOAD_URL, json=asked) as answer:
        url = urlsplit((await answer.json())["uploadUrl"])
    return f"{url.path}?{url.query}"


async def test_what_is_thrown_at_submit_is_refused_by_convert_as_well(world: World) -> None:
    await world.serve()
    for name, raw in HOSTILE.items():
        answer = await world.send_raw(raw.replace(hostile.SUBMIT.encode(), b"/v1/convert", 1))
        hostile.assert_refused(answer)
        assert world.publisher.published == [], name
        assert world.stored_files() == set(), name


@pytest.mark.parametrize("name", ["../../x.pdf", "..\\..\\x.pdf", "/etc/passwd", "C:\\x.pdf", "."])
@pytest.mark.parametrize("path", [hostile.SUBMIT, hostile.BATCH])
async def test_a_name_that_climbs_is_only_a_name(world: World, path: str, name: str) -> None:
    await world.serve()
    part = "files" if path == hostile.BATCH else "file"
    head = f'Content-Disposition: form-data; name="{part}"; filename="{name}"'
    assert (await world.send_raw(hostile.upload(path, (head, PDF)))).status == 202
    event: Any = world.publisher.published[0]
    submitted = event.documents[0] if path == hostile.BATCH else event
    assert submitted.file_name in ("x.pdf", "passwd", "document")
    (stored,) = world.stored_files()
    assert submitted.document_id in str(stored.relative_to(world.root))


async def test_a_line_break_in_an_encoded_name_comes_back_in_no_header(world: World) -> None:
    await world.serve()
    name = "filename*=UTF-8''x%0d%0aX-Injected%3A%201%00%1b.pdf"
    head = f'Content-Disposition: form-data; name="file"; {name}'
    answer = await world.send_raw(hostile.upload(hostile.SUBMIT, (head, PDF)))
    assert answer.status == 202
    original = f"GET /api/documents/{answer.json()['id']}/original"
    found = await world.send_raw(hostile.request(original))
    assert "x-injected" not in found.headers
    assert answer.json()["fileName"] == "xX-Injected: 1.pdf"
    assert found.headers["content-disposition"].endswith("UTF-8''xX-Injected%3A%201.pdf")


async def test_a_hundred_and_one_files_under_all_names_are_one_too_many(world: World) -> None:
    await world.serve()
    names = ("files", "files[]", "file")
    parts = [(file_part()[0].replace('"file"', f'"{names[n % 3]}"'), PDF) for n in range(101)]
    answer = await world.send_raw(hostile.upload(hostile.BATCH, *parts))
    hostile.assert_refused(answer)
    assert answer.json()["code"] == "too_many_files"
    assert world.stored_files() == set()


@pytest.mark.parametrize("change", ["size", "expires", "signature", "id"])
@pytest.mark.parametrize(
    "value", ["", "0", "-1", "x" * 5000, "%00", "%ff%fe", "%ed%a0%80", "9" * 19]
)
async def test_no_parameter_of_a_signed_url_can_be_changed(
    world: World, change: str, value: str
) -> None:
    client = await world.serve()
    path = await upload_path(client)
    stored = world.stored_files()
    address, _, query = path.partition("?")
    if change == "id":
        address = f"/api/uploads/{value or ID}"
    else:
        words = [word for word in query.split("&") if not word.startswith(change)]
        query = "&".join([*words, f"{change}={value}"])
    answer = await world.send_raw(hostile.request(f"PUT {address}?{query}", PDF))
    hostile.assert_refused(answer)
    assert answer.status in (403, 404)
    assert world.stored_files() == stored


async def test_a_signed_url_with_a_duplicate_parameter_uses_the_first_or_fails(
    world: World,
) -> None:
    client = await world.serve()
    path = await upload_path(client)
    for more in ("size=1", "expires=99999999999", "signature=v1.0"):
        assert (await world.send_raw(hostile.request(f"PUT {path}&{more}", PDF))).status == 200
        address, _, query = path.partition("?")
        answer = await world.send_raw(hostile.request(f"PUT {address}?{more}&{query}", PDF))
        assert answer.status == 403


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (["Content-Length: 20"], PDF[:-1], 400),
        (["Content-Length: 22"], PDF + b"x", 400),
        (["Content-Length: 0"], b"", 400),
        (["Content-Length: 9223372036854775807"], PDF, 400),
        (["Content-Length: 21", "Content-Encoding: gzip"], PDF, 415),
        (["Content-Length: 21", "Expect: miracles"], PDF, 417),
        (["Transfer-Encoding: chunked"], b"14\r\n" + PDF[:-1] + b"\r\n0\r\n\r\n", 400),
        (["Transfer-Encoding: chunked"], b"16\r\n" + PDF + b"x\r\n0\r\n\r\n", 400),
        (["Transfer-Encoding: chunked"], b"zz\r\n", 400),
        (["Transfer-Encoding: gzip, chunked"], b"15\r\n" + PDF + b"\r\n0\r\n\r\n", 415),
        (["Content-Length: 21"], PDF[:-1], 408),
        (["Transfer-Encoding: chunked"], b"15\r\n" + PDF, 408),
        ([], b"", 400),
    ],
)
async def test_bytes_other_than_announced_are_not_stored(
    world: World, headers: list[str], body: bytes, status: int
) -> None:
    client = await world.serve(read_timeout=0.2)
    path = await upload_path(client)
    stored = world.stored_files()
    lines = [f"PUT {path} HTTP/1.1", "Host: a", *headers, "", ""]
    answer = await world.send_raw("\r\n".join(lines).encode() + body)
    hostile.assert_refused(answer)
    assert answer.status == status
    assert world.stored_files() == stored


@pytest.mark.parametrize(
    "query",
    [
        "startDate=" + "9" * LONG,
        "startDate=" + "%F0" * 2600,
        "startDate=%00",
        "startDate=2026-01-01T00:00:00%2B99:99",
        "startDate=0001-01-01T00:00:00%2B23:59",
        "endDate=9999-12-31T23:59:59-23:59",
        "startDate=2026-02-30",
        "startDate=%D9%A2%D9%A0%D9%A2%D9%A6-01-01",
        "startDate[]=1&startDate=1",
        "&".join(["startDate=2026-01-01"] * 300),
        "startDate='; DROP TABLE usage; --",
    ],
)
async def test_an_absurd_query_is_refused(world: World, query: str) -> None:
    await world.serve()
    for path in ("/api/usage/summary", "/api/usage/breakdown"):
        line = f"GET {path}?{query.replace(' ', '%20')}"
        answer = await world.send_raw(hostile.request(line))
        hostile.assert_refused(answer)
        assert answer.status == 400


@pytest.mark.parametrize(
    "header",
    [
        "Range: bytes=-",
        "Range: bytes=",
        "Range: bytes=0-0,1-1",
        "Range: bytes=5-1",
        "Range: bytes=" + "9" * LONG + "-",
        "Range: lines=0-1",
        "Range: bytes=\udcb2-",
        "Range: " + "bytes=0-1," * 700,
        'If-None-Match: "',
        "If-None-Match: " + '"a",' * 2000,
        "If-None-Match: \udcff",
        "If-Range: yesterday",
        "If-Modified-Since: never",
        "If-Modified-Since: Thu, 99 Foo 99999 99:99:99 GMT",
        "If-Unmodified-Since: \udcff",
        "Accept: " + "*/*;q=9," * 900,
    ],
)
async def test_what_is_not_understood_of_a_conditional_request_is_passed_over(
    world: World, header: str
) -> None:
    await world.serve()
    await world.add_completed(b"# One\n")
    for path in (f"/api/documents/{ID}", f"/api/documents/{ID}/original"):
        answer = await world.send_raw(hostile.request(f"GET {path}", b"", header))
        assert answer.status == 200
        assert answer.body in (b"# One\n", PDF)


@pytest.mark.parametrize(("header", "status"), [("Range: bytes=99-", 416), ('If-Match: "', 412)])
async def test_a_failed_precondition_is_reported(world: World, header: str, status: int) -> None:
    await world.serve()
    await world.add_completed(b"# One\n")
    answer = await world.send_raw(hostile.request(f"GET /api/documents/{ID}", b"", header))
    hostile.assert_refused(answer)
    assert answer.status == status


async def test_dripping_clients_keep_nobody_waiting_and_nothing_stored(world: World) -> None:
    client = await world.serve(read_timeout=0.5)
    begun = [await world.connect() for _ in range(50)]
    for n, (_, writer) in enumerate(begun):
        path = (hostile.SUBMIT, hostile.CONVERT, hostile.BATCH)[n % 3]
        writer.write(post_request(multipart_form(file_part()), path=path)[: -(n + 1)])
    async with asyncio.timeout(20):
        async with client.get("/livez") as answer:
            assert answer.status == 200
        for reader, writer in begun:
            answered = await read_response(reader)
            hostile.assert_refused(answered)
            writer.close()
    assert world.stored_files() == set()
