"""Reading of forms: their frame is bounded, and names are read as clients meant them."""

import asyncio

import pytest

from ilios.edge.multipart import CHUNK_BYTES, MAX_FRAME_BYTES, MAX_HEADERS, MAX_LINE_BYTES
from tests.ilios.edge import hostile
from tests.ilios.edge.world import (
    PDF,
    World,
    field_part,
    file_part,
    multipart_form,
    post_request,
    read_response,
)

GOOD = multipart_form(file_part())
HEAD = file_part()[0]


@pytest.mark.parametrize(
    "frame",
    [
        b"\n" * MAX_FRAME_BYTES,
        b"--BOUNDARYS\r\n" * (MAX_FRAME_BYTES // 13 + 1),
        b"x" * MAX_FRAME_BYTES,
        f"--BOUNDARY\r\n{HEAD}\r\nX: ".encode() + b"x" * MAX_LINE_BYTES,
        f"--BOUNDARY\r\n{HEAD}\r\n".encode() + f"X: {'x' * 8000}\r\n".encode() * 9,
        GOOD + b"x" * (MAX_FRAME_BYTES + CHUNK_BYTES),
    ],
    ids=["line feeds", "other boundaries", "no boundary", "long line", "long header", "epilogue"],
)
@pytest.mark.parametrize("path", [hostile.SUBMIT, hostile.BATCH])
async def test_a_frame_without_end_is_refused_while_the_body_goes_on(
    world: World, path: str, frame: bytes
) -> None:
    await world.serve()
    reader, writer = await world.connect()
    if path == hostile.BATCH:
        frame = frame.replace(b'name="file"', b'name="files"')
    async with asyncio.timeout(20):
        writer.write(post_request(frame, path=path, length=2_000_000))
        await writer.drain()
        writer.write(b"x")
        answer = await read_response(reader)
    writer.close()
    hostile.assert_refused(answer)
    assert (answer.status, answer.json()["code"]) == (400, "malformed_request")
    assert world.stored_files() == set()


async def test_a_little_before_and_after_the_form_is_passed_over(world: World) -> None:
    await world.serve()
    for before, after in ((b"\r\n", b""), (b"preamble\r\n" * 100, b"epilogue\r\n" * 1000)):
        assert (await world.send_raw(post_request(before + GOOD + after))).status == 202


async def test_a_form_is_the_same_however_it_is_cut(world: World) -> None:
    await world.serve()
    content = b"\r\n--BOUND\r\n--BOUNDAR-" * 3
    form = b"preamble\r\n" + multipart_form(
        field_part("retentionDays", b"7"), file_part(content=content)
    )
    raw = post_request(form + b"epilogue")
    reader, writer = await world.connect()
    for at in range(len(raw)):
        writer.write(raw[at : at + 1])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert (await read_response(reader)).status == 202
    writer.close()
    (stored,) = world.stored_files()
    assert stored.read_bytes() == content
    assert world.publisher.submitted.retention_days == 7


@pytest.mark.parametrize(
    ("parameter", "shown"),
    [
        ('filename="M\u00fcller Gr\u00fc\u00dfe.pdf"'.encode(), "M\u00fcller Gr\u00fc\u00dfe.pdf"),
        (
            'filename="M\u00fcller Gr\u00fc\u00dfe.pdf"'.encode("latin-1"),
            "M\u00fcller Gr\u00fc\u00dfe.pdf",
        ),
        (b'filename="\x80\x81.pdf"', "\u20ac\ufffd.pdf"),
        (b"filename=x; filename*=UTF-8''%C3%A4.pdf", "\u00e4.pdf"),
    ],
    ids=["UTF-8", "Latin-1", "Windows-1252", "RFC 8187"],
)
async def test_a_name_in_an_older_encoding_keeps_its_letters(
    world: World, parameter: bytes, shown: str
) -> None:
    await world.serve()
    raw = post_request(GOOD.replace(b'filename="paper.pdf"', parameter))
    answer = await world.send_raw(raw)
    assert answer.status == 202
    assert answer.json()["fileName"] == shown


@pytest.mark.parametrize("boundary", ["BOUNDARY", '"BOUND ARY"', "----=_Part_0.1?", '"a\\"b"'])
async def test_a_boundary_is_read_as_clients_write_it(world: World, boundary: str) -> None:
    await world.serve()
    form = multipart_form(file_part(), boundary=boundary.strip('"').replace("\\", ""))
    content_type = f"Multipart/Form-Data; charset=utf-8; Boundary={boundary}"
    assert (await world.send_raw(post_request(form, content_type=content_type))).status == 202


async def test_the_field_that_names_the_encoding_is_no_option(world: World) -> None:
    await world.serve()
    for charset, status in ((b"UTF-8", 202), (b"iso-8859-1", 400)):
        form = multipart_form(field_part("_charset_", charset), file_part())
        assert (await world.send_raw(post_request(form))).status == status


async def test_every_part_may_have_its_headers(world: World) -> None:
    await world.serve()
    more = "".join(f"\r\nX-{n}: a" for n in range(MAX_HEADERS - 2))
    parts = [(f'Content-Disposition: form-data; name="utm_{n}"{more}', b"x") for n in range(5)]
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
    fields = [(f'Content-Disposition: form-data; name="utm_{n}"', b"x") for n in range(20)]
    taken = hostile.upload(hostile.BATCH, *files, *fields[:19])
    assert (await world.send_raw(taken)).status == 202
    stored = world.stored_files()
    answer = await world.send_raw(hostile.upload(hostile.BATCH, *files, *fields))
    hostile.assert_refused(answer)
    assert answer.json()["code"] == "too_many_parts"
    assert world.stored_files() == stored
