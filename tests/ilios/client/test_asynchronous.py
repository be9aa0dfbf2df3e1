"""Requests of the client to a server that fails in many ways."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from ilios.client import (
    AsyncClient,
    Patience,
    ServiceProblem,
    UnexpectedAnswer,
    Unreachable,
    Upload,
    in_parallel,
)
from schemas.event_replies import DocumentEventData
from schemas.replies import Problem, Submitted
from schemas.requests import SubmitFields
from tests.free_ports import free_port

PATIENT = Patience(seconds=30, first_pause=0.01, longest_pause=0.02)
ID = "a" * 24
AT = "2026-01-15T10:30:00.000Z"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def client_of(
    handler: Handler, patience: Patience = PATIENT, key: str | None = "a-key"
) -> AsyncIterator[AsyncClient]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with AsyncClient(f"http://127.0.0.1:{port}", key, patience=patience) as client:
            yield client
    finally:
        await runner.cleanup()


def problem(status: int, code: str, **headers: str) -> web.Response:
    body = Problem(
        title="", status=status, detail=code, error=code, code=code, instance="/", request_id="r"
    )
    return web.Response(status=status, body=msgspec.json.encode(body), headers=headers)


def accepted() -> web.Response:
    body = Submitted(
        id=ID,
        status="pending",
        file_name="a",
        retention_days=1,
        created_at=AT,
        status_url="/",
    )
    return web.Response(status=202, body=msgspec.json.encode(body))


class Failing:
    """A server that fails with each of ``answers`` and accepts then; notes the requests."""

    def __init__(self, *answers: web.Response | None) -> None:
        self.answers = list(answers)
        self.keys: list[str] = []
        self.forms: list[dict[str, object]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.keys.append(request.headers["Idempotency-Key"])
        assert request.headers["Authorization"] == "Bearer a-key"
        form = await request.post()
        self.forms.append(
            {k: v.file.read() if isinstance(v, web.FileField) else v for k, v in form.items()}
        )
        if not self.answers:
            return accepted()
        answer = self.answers.pop(0)
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return answer


async def test_a_submission_is_repeated_whole_and_under_one_key(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"words")
    server = Failing(
        problem(503, "not_ready", **{"Retry-After": "0"}), None, web.Response(status=502)
    )
    fields = SubmitFields(pages="1-2", comments=True, metadata={"case": 17}, priority=3)
    async with client_of(server.answer) as client:
        assert (await client.submit(tmp_path / "a.txt", fields)).id == ID
    assert len(server.keys) == 4
    assert len(set(server.keys)) == 1
    assert (
        server.forms
        == [
            {
                "pages": "1-2",
                "comments": "true",
                "metadata": '{"case": 17}',
                "priority": "3",
                "file": b"words",
            }
        ]
        * 4
    )


async def test_two_submissions_have_two_keys() -> None:
    server = Failing()
    async with client_of(server.answer) as client:
        await client.submit(Upload(content=b"a"))
        await client.submit(Upload(content=b"a"))
    assert len(set(server.keys)) == 2


async def test_a_refusal_is_raised_at_once_with_its_code() -> None:
    server = Failing(problem(400, "invalid_pages"))
    async with client_of(server.answer) as client:
        with pytest.raises(ServiceProblem, match="invalid_pages") as caught:
            await client.submit(Upload(content=b"a"))
    assert (caught.value.status, len(server.keys)) == (400, 1)


async def test_a_pause_longer_than_the_patience_ends_the_tries() -> None:
    server = Failing(problem(429, "limit", **{"Retry-After": "3600"}))
    async with client_of(server.answer) as client:
        with pytest.raises(ServiceProblem) as caught:
            await client.submit(Upload(content=b"a"))
    assert (caught.value.retry_after, len(server.keys)) == (3600, 1)


async def test_a_service_that_is_away_is_unreachable_after_the_patience() -> None:
    server = f"http://127.0.0.1:{free_port()}"
    async with AsyncClient(server, patience=Patience(seconds=0)) as client:
        with pytest.raises(Unreachable, match="cannot be reached"):
            await client.show(ID)


async def test_an_answer_of_something_else_is_named_as_such() -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>")

    async with client_of(page) as client:
        with pytest.raises(UnexpectedAnswer):
            await client.show(ID)


async def test_a_broken_download_is_repeated_and_leaves_nothing_half(tmp_path: Path) -> None:
    seen = 0

    async def cut(request: web.Request) -> web.StreamResponse:
        nonlocal seen
        seen += 1
        response = web.StreamResponse(headers={"Content-Length": "10"})
        await response.prepare(request)
        await response.write(b"01234")
        if seen == 1:
            assert request.transport is not None
            request.transport.abort()
        else:
            await response.write(b"56789")
        return response

    async with client_of(cut) as client:
        await client.download(ID, tmp_path / "a.md")
    assert (seen, (tmp_path / "a.md").read_bytes()) == (2, b"0123456789")
    assert [one.name for one in tmp_path.iterdir()] == ["a.md"]


async def test_a_broken_stream_of_events_goes_on_after_the_last_one() -> None:
    asked: list[str | None] = []

    async def events(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Last-Event-ID"))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"retry: 1\n\n:\n\n")
        status = "pending" if len(asked) == 1 else "completed"
        data = msgspec.json.encode(
            DocumentEventData(id=ID, status="pending", at=AT, attempt=1)
        ).replace(b"pending", status.encode())
        whole = f"event: document.x\r\nid: e{len(asked)}\r\ndata: {data.decode()}\r\n\r\n".encode()
        await response.write(whole[:20])
        await response.write(whole[20:])
        await response.write(b"event: document.cut\nid: e9\ndata: {")
        if len(asked) == 1:
            assert request.transport is not None
            request.transport.abort()
        return response

    async with client_of(events) as client:
        found = [event async for event in client.events(ID)]
    assert asked == [None, "e1"]
    assert [one.id for one in found] == ["e1", "e2"]


async def test_no_more_work_is_done_at_once_than_is_allowed_and_errors_are_outcomes() -> None:
    running, most = 0, 0

    async def work(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        if number == 3:
            raise ValueError("three")
        return number

    outcomes = [one async for one in in_parallel(range(20), work, 4)]
    assert most == 4
    assert sorted(one.item for one in outcomes) == list(range(20))
    assert [str(one.error) for one in outcomes if one.error] == ["three"]


async def test_work_that_is_left_is_cancelled_when_the_iteration_ends_early() -> None:
    begun: list[int] = []

    async def work(number: int) -> int:
        begun.append(number)
        return number

    outcomes = in_parallel(range(1000), work, 2)
    async for _ in outcomes:
        break
    await outcomes.aclose()
    assert len(begun) < 20


@pytest.mark.parametrize("server", ["ilios:1337", "ftp://a", "http://", "http://me:secret@a"])
def test_what_is_no_address_of_a_service_is_refused(server: str) -> None:
    with pytest.raises(ValueError, match="not the address of a service"):
        AsyncClient(server)
