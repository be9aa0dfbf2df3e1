"""What a client gets to read at the end: every document, its original, and every batch."""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress

import msgspec
from msgspec import Struct

from ilios.chaos.documents import SampleDocument
from ilios.chaos.http_client import HttpClient

AT_ONCE = 4  # requests


class _BatchLine(Struct, frozen=True):
    """What counts of a line of a batch's download."""

    id: str
    content: str | None = None


_lines = msgspec.json.Decoder(_BatchLine)


class ReadDocument(Struct, frozen=True):
    """What was answered about a document: HTTP statuses, and what is wrong with its content."""

    state: str | None
    markdown: int
    original: int
    fault: str | None = None


class ReadBatch(Struct, frozen=True):
    """What was answered about a batch; ``faults`` by the ids of the documents of its download."""

    progress: Mapping[str, int]
    faults: Mapping[str, str | None]


class Readback(Struct, frozen=True):
    """Everything that was read, by id."""

    documents: dict[str, ReadDocument]
    batches: dict[str, ReadBatch]


async def read_back(
    client: HttpClient, samples: Mapping[str, SampleDocument], batches: Iterable[str]
) -> Readback:
    """Read all these; ``papers`` has what each document should be, by its id."""
    readback = Readback({}, {})
    left, more = iter(samples.items()), iter(batches)

    async def read_next() -> None:
        for name, sample in left:
            readback.documents[name] = await _read_document(client, name, sample)
        for name in more:
            readback.batches[name] = await _read_batch(client, name, samples)

    await asyncio.gather(*(read_next() for _ in range(AT_ONCE)))
    return readback


async def _read_document(client: HttpClient, name: str, sample: SampleDocument) -> ReadDocument:
    status = await client.request_until_answered("GET", f"/api/documents/status/{name}")
    markdown = await client.request_until_answered("GET", f"/api/documents/{name}")
    original = await client.request_until_answered("GET", f"/api/documents/{name}/original")
    fault = sample.find_mismatch(markdown.text) if markdown.status == 200 else None
    if original.status == 200 and hashlib.sha256(original.body).hexdigest() != sample.sha256:
        fault = "its original is not what was submitted"
    return ReadDocument(status.json.get("status"), markdown.status, original.status, fault)


async def _read_batch(
    client: HttpClient, name: str, samples: Mapping[str, SampleDocument]
) -> ReadBatch:
    status = await client.request_until_answered("GET", f"/v1/batch/status/{name}")
    download = await client.request_until_answered("GET", f"/v1/batch/download/{name}?format=jsonl")
    faults: dict[str, str | None] = {}
    if download.status == 200:
        with suppress(msgspec.DecodeError):  # what is cut short has lines too few
            for line in _lines.decode_lines(download.body):
                sample, text = samples.get(line.id), line.content
                faults[line.id] = (
                    sample.find_mismatch(text) if sample and text is not None else None
                )
    return ReadBatch(status.json.get("progress", {}), faults)
