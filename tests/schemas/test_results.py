"""Stored page results stay readable, and are minimal."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from schemas.results import (
    Box,
    PageConfidence,
    PageDimensions,
    PageImage,
    PageResult,
    PageTable,
    ResultHead,
    split_lines,
)

HEAD = b'{"engine":"mistral","model":"mistral-ocr-2512","pages":2,"billedPages":2,"seconds":0.5}'
PAGE = (
    b'{"index":0,"markdown":"one","images":[{"id":"img-0.jpeg","name":"a.jpeg","box":'
    b'{"topLeftX":1,"topLeftY":2,"bottomRightX":3,"bottomRightY":4},"annotation":"a cat"}],'
    b'"tables":[{"id":"tbl-0","content":"| a |","format":"markdown"}],'
    b'"hyperlinks":["https://example.com/"],"header":"above","footer":"below",'
    b'"dimensions":{"dpi":200,"height":2200,"width":1700},'
    b'"confidence":{"average":0.9,"minimum":0.5}}'
)
FULL = PageResult(
    index=0,
    markdown="one",
    images=(PageImage("img-0.jpeg", "a.jpeg", Box(1, 2, 3, 4), "a cat"),),
    tables=(PageTable("tbl-0", "| a |", "markdown"),),
    hyperlinks=("https://example.com/",),
    header="above",
    footer="below",
    dimensions=PageDimensions(dpi=200, height=2200, width=1700),
    confidence=PageConfidence(average=0.9, minimum=0.5),
)


def test_a_line_of_each_kind_is_read_for_ever() -> None:
    head = msgspec.json.decode(HEAD, type=ResultHead)
    assert (head.engine, head.pages, head.billed_pages, head.seconds) == ("mistral", 2, 2, 0.5)
    assert msgspec.json.decode(PAGE, type=PageResult) == FULL


def test_a_line_is_one_line_whatever_stands_on_the_page() -> None:
    written = msgspec.json.encode(PageResult(index=0, markdown="one\ntwo\r\n\u2028three"))
    assert b"\n" not in written
    assert b"\r" not in written


def test_missing_members_of_a_page_are_left_out() -> None:
    assert msgspec.json.encode(PageResult(index=1, markdown="")) == b'{"index":1,"markdown":""}'


async def _pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("end", [b"", b"\n"])
async def test_lines_are_whole_wherever_the_pieces_are_cut(size: int, end: bytes) -> None:
    lines = [b"first", b"2", b"", b"a longer line", b"", b"", b"last"]
    found = [line async for line in split_lines(_pieces(b"\n".join(lines) + end, size))]
    assert found == [line for line in lines if line]
