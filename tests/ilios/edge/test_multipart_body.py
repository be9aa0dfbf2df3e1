"""What stands around the parts of a form is read by lines, and not for ever."""

import asyncio

import pytest

from ilios.edge.multipart_body import MAX_HEADERS, MAX_LINE_BYTES, MAX_LINES
from tests.ilios.edge import hostile
from tests.ilios.edge.world import (
    PDF,
    World,
    file_part,
    multipart_form,
    post_request,
    read_response,
)

GOOD = multipart_form(file_part())


@pytest.mark.parametrize("line", [b"\n", b"\r\n", b"ab\r\n", b"--\r\n", b"--BOUNDARYS\r\n"])
@pytest.mark.parametrize("path", [hostile.SUBMIT, hostile.CONVERT, hostile.BATCH])
async def test_a_form_that_does_not_begin_is_refused_without_waiting_for_its_end(
    world: World, path: str, line: bytes
) -> None:
    await world.serve()
    reader, writer = await world.connect()
    writer.write(post_request(line * (MAX_LINES + 1), path=path, length=2_000_000))
    async with asyncio.timeout(5):
        answer = await read_response(reader)
    writer.close()
    hostile.assert_refused(answer)
    assert (answer.status, answer.json()["code"]) == (400, "malformed_request")
    assert world.stored_files() == set()


async def test_a_line_that_does_not_end_is_refused_without_waiting_for_its_end(
    world: World,
) -> None:
    await world.serve()
    reader, writer = await world.connect()
    writer.write(post_request(b"x" * (MAX_LINE_BYTES + 1), length=2_000_000))
    async with asyncio.timeout(5):
        answer = await read_response(reader)
    writer.close()
    assert (answer.status, answer.json()["code"]) == (400, "malformed_request")


async def test_a_little_before_and_after_the_form_is_passed_over(world: World) -> None:
    await world.serve()
    for before, after in ((b"\r\n", b""), (b"preamble\r\n" * 100, b"epilogue\r\n" * 1000)):
        assert (await world.send_raw(post_request(before + GOOD + after))).status == 202


async def test_every_part_may_have_its_headers(world: World) -> None:
    await world.serve()
    more = "".join(f"\r\nX-{n}: a" for n in range(MAX_HEADERS - 2))
    parts = [(f'Content-Disposition: form-data; name="f{n}"{more}', b"x") for n in range(5)]
    assert (await world.send_raw(post_request(multipart_form(*parts, file_part())))).status == 202
    longer = (f"{file_part()[0]}{more}\r\nX: a\r\nX: a", PDF)
    hostile.assert_refused(await world.send_raw(post_request(multipart_form(longer))))


async def test_others_have_their_turn_between_parts_that_are_here_already(world: World) -> None:
    client = await world.serve()
    part = ('Content-Disposition: form-data; name="a"', b"b")
    raw = hostile.upload(hostile.BATCH, *[part] * 19)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with client.get("/livez") as answer:  # the client's own loop is this one: it is warm now
        assert answer.status == 200
    counting = asyncio.create_task(count())
    hostile.assert_refused(await world.send_raw(raw))
    counting.cancel()
    assert turns >= 19


async def test_fields_are_few_also_in_a_batch_of_many_files(world: World) -> None:
    await world.serve()
    files = [(file_part()[0].replace('"file"', '"files"'), PDF)] * 30
    fields = [(f'Content-Disposition: form-data; name="f{n}"', b"x") for n in range(20)]
    taken = hostile.upload(hostile.BATCH, *files, *fields[:19])
    assert (await world.send_raw(taken)).status == 202
    stored = world.stored_files()
    answer = await world.send_raw(hostile.upload(hostile.BATCH, *files, *fields))
    hostile.assert_refused(answer)
    assert answer.json()["code"] == "too_many_parts"
    assert world.stored_files() == stored
