"""What a client gets to read at the end: every document, its original, and every batch."""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress

import msgspec
from msgspec import Struct

from ilios.chaos.asking import Asking
from ilios.chaos.papers import Paper

AT_ONCE = 4  # requests


class _Line(Struct, frozen=True):
    """What counts of a line of a batch's download."""

    id: str
    content: str | None = None


_lines = msgspec.json.Decoder(_Line)


class ReadDocument(Struct, frozen=True):
    """What was answered about a document: HTTP statuses, and what is wrong with its content."""

    told: str | None
    markdown: int
    original: int
    fault: str | None = None


class ReadBatch(Struct, frozen=True):
    """What was answered about a batch; ``faults`` by the ids of the documents of its download."""

    progress: Mapping[str, int]
    faults: Mapping[str, str | None]


class Reading(Struct, frozen=True):
    """Everything that was read, by id."""

    documents: dict[str, ReadDocument]
    batches: dict[str, ReadBatch]


async def read(asking: Asking, papers: Mapping[str, Paper], batches: Iterable[str]) -> Reading:
    """Read all these; ``papers`` has what each document should be, by its id."""
    reading = Reading({}, {})
    left, more = iter(papers.items()), iter(batches)

    async def go_on() -> None:
        for name, paper in left:
            reading.documents[name] = await _document(asking, name, paper)
        for name in more:
            reading.batches[name] = await _batch(asking, name, papers)

    await asyncio.gather(*(go_on() for _ in range(AT_ONCE)))
    return reading


async def _document(asking: Asking, name: str, paper: Paper) -> ReadDocument:
    status = await asking.until_answered("GET", f"/api/documents/status/{name}")
    markdown = await asking.until_answered("GET", f"/api/documents/{name}")
    original = await asking.until_answered("GET", f"/api/documents/{name}/original")
    fault = paper.fault_of(markdown.text) if markdown.status == 200 else None
    if original.status == 200 and hashlib.sha256(original.body).hexdigest() != paper.sha256:
        fault = "its original is not what was submitted"
    return ReadDocument(status.json.get("status"), markdown.status, original.status, fault)


async def _batch(asking: Asking, name: str, papers: Mapping[str, Paper]) -> ReadBatch:
    status = await asking.until_answered("GET", f"/v1/batch/status/{name}")
    download = await asking.until_answered("GET", f"/v1/batch/download/{name}?format=jsonl")
    faults: dict[str, str | None] = {}
    if download.status == 200:
        with suppress(msgspec.DecodeError):  # what is cut short has lines too few
            for line in _lines.decode_lines(download.body):
                paper, text = papers.get(line.id), line.content
                faults[line.id] = paper.fault_of(text) if paper and text is not None else None
    return ReadBatch(status.json.get("progress", {}), faults)
