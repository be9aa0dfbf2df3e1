"""The format ``json``: the reply of a document with its Markdown and the results of its pages."""

import codecs
import os
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec
from msgspec import Struct

from actors.engines import Conversion
from ilios.formats.declaration import Format, FormatOptions, StoredDocument
from ilios.visible import visible_json
from schemas.replies import DocumentContent
from schemas.results import PageResult


async def as_json_text(text: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Turn UTF-8 into what stands between the quotes of a JSON string, piece by piece."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    async for chunk in text:
        yield _escape_json(decoder.decode(chunk))
    yield _escape_json(decoder.decode(b"", final=True))


async def as_json_items(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Turn all JSON lines but the first into what stands between the brackets of an array."""
    in_first, pending = True, b""
    async for chunk in lines:
        rest = chunk
        if in_first:
            _, newline, rest = chunk.partition(b"\n")
            in_first = not newline
        if not rest:
            continue
        whole = pending + rest
        items = whole.removesuffix(b"\n")
        # The newline at the end of a piece may be the last of all, after which nothing comes.
        pending = whole[len(items) :]
        if items:
            yield items.replace(b"\n", b",")


def split_at_content(reply: Struct) -> tuple[bytes, bytes]:
    """Return the JSON of a reply before and after the text of its empty ``content``."""
    # Inside of a string the quotes would be escaped, so the first match is the member.
    before, after = msgspec.json.encode(reply).split(b'"content":""', 1)
    return before + b'"content":"', b'"' + after


async def _render(document: StoredDocument) -> AsyncGenerator[bytes, None]:
    before, after = split_at_content(document.reply)
    async for piece in as_json_text(document.markdown):
        yield before + piece
        before = b""
    if document.result is None:
        yield after
        return
    yield after.removesuffix(b"}") + b',"pages":['
    async for piece in as_json_items(document.result):
        yield piece
    yield b"]}"


def _print(name: str, conversion: Conversion, _options: FormatOptions) -> str:
    line: dict[str, object] = {
        "fileName": os.fsencode(name).decode(errors="replace"),
        "engine": conversion.engine,
        "model": conversion.model,
        "pages": conversion.pages,
    }
    if conversion.details:
        line["pageDetails"] = [_without_markdown(page) for page in conversion.details]
    if conversion.warnings:
        line["warnings"] = conversion.warnings
    if conversion.quality is not None:
        line["quality"] = conversion.quality
    if conversion.partial:
        line["partial"] = True
    return visible_json(msgspec.json.encode(line).decode()) + "\n"


def _without_markdown(page: PageResult) -> dict[str, object]:
    """Return the report on a page whose Markdown stands beside it."""
    members: dict[str, object] = msgspec.to_builtins(page)
    del members["markdown"]
    return members


def _escape_json(text: str) -> bytes:
    return msgspec.json.encode(text)[1:-1]


JSON = Format("application/json", "json", _render, _print, schema=DocumentContent)
