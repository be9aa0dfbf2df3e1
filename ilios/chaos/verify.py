"""Verification of the promises by the database, the blobs and the answers to clients."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

import msgspec
from msgspec import Struct

from ilios.chaos.documents import EXPECTED_CODES, SampleDocument
from ilios.chaos.http_client import HttpClient
from ilios.chaos.record import Document, RunRecord, Submission, Violation
from ilios.database.recovery.audit import Audit, AuditedDocument
from schemas.states import REMOVED_STATES, TERMINAL_STATES

READS_AT_ONCE = 4  # requests

VIOLATION_KINDS = {
    "lost": "accepted, and unknown now",
    "stuck": "accepted, and not at its end in time",
    "mixed up": "content, or a page of it, is not the document's own",
    "made twice": "one request made two things",
    "failed wrongly": "failed although it can be converted, or for another reason than its own",
    "billed twice": "more than one bill",
    "not billed": "completed without a bill",
    "billed wrongly": "billed although it failed or was refused, or for other pages than it has",
    "regressed": "a final state that a client has read has changed",
    "miscounted": "a batch's figures are not those of its documents",
    "answered wrongly": "an answer that no fault explains",
    "false alarm": "events of the log are reported as lost, and are not",
    "ended by itself": "the service ended although it was not killed",
    "left running": "a process that outlives the service",
    "database damaged": "SQLite's integrity check complains",
}
"""The kinds of violations, and what each means."""


class _BatchLine(Struct, frozen=True):
    """The members of a line of a batch download that are verified."""

    id: str
    content: str | None = None


_lines = msgspec.json.Decoder(_BatchLine)


class ReadDocument(Struct, frozen=True):
    """A document as a client reads it: state, HTTP statuses, and a fault of its content."""

    state: str | None
    markdown: int
    original: int
    fault: str | None = None


class ReadBatch(Struct, frozen=True):
    """A batch as a client reads it; ``faults`` by the ids of the documents in its download."""

    progress: Mapping[str, int]
    faults: Mapping[str, str | None]


class Readback(Struct, frozen=True):
    """Everything that was read, by id."""

    documents: dict[str, ReadDocument]
    batches: dict[str, ReadBatch]


async def read_back(
    client: HttpClient, samples: Mapping[str, SampleDocument], batches: Iterable[str]
) -> Readback:
    """Read every document and batch; ``samples`` are the expected documents, by id."""
    readback = Readback({}, {})
    left, more = iter(samples.items()), iter(batches)

    async def read_next() -> None:
        for name, sample in left:
            readback.documents[name] = await _read_document(client, name, sample)
        for name in more:
            readback.batches[name] = await _read_batch(client, name, samples)

    await asyncio.gather(*(read_next() for _ in range(READS_AT_ONCE)))
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
        with suppress(msgspec.DecodeError):  # a truncated download lacks lines, which is found
            for line in _lines.decode_lines(download.body):
                sample, text = samples.get(line.id), line.content
                faults[line.id] = (
                    sample.find_mismatch(text) if sample and text is not None else None
                )
    return ReadBatch(status.json.get("progress", {}), faults)


def find_violations(record: RunRecord, readback: Readback, audit: Audit) -> list[Violation]:
    """Return the broken promises, those recorded during the run included; each once."""
    found = [
        *record.violations,
        *_check_documents(record, readback, audit),
        *_check_unaccepted(record, audit),
        *_check_bills(record, audit),
        *_check_batches(record, readback, audit),
        *(Violation("database damaged", "ilios.db", what) for what in audit.damage),
    ]
    return list(dict.fromkeys(found))


def unaccepted_documents(record: RunRecord, audit: Audit) -> dict[str, Submission]:
    """Return the documents in the database whose submission was not answered, or refused."""
    return {
        name: record.submissions[row.sha256]
        for name, row in audit.documents.items()
        if name not in record.documents and row.sha256 in record.submissions
    }


def _check_documents(record: RunRecord, readback: Readback, audit: Audit) -> Iterator[Violation]:
    for name, document in record.documents.items():
        row = audit.documents.get(name)
        if row is None:
            yield Violation("lost", name, "it was accepted, and is not in the database")
            continue
        if row.sha256 not in (None, document.sample.sha256):
            yield Violation("mixed up", name, "its original in the database is another's")
        yield from _check_reference(document, row)
        if row.state not in TERMINAL_STATES:
            yield Violation("stuck", name, f"it is {row.state}")
        elif document.removal == "none":
            yield from _check_kept(document, row)
        else:
            yield from _check_removed(document, row)
        seen = document.state
        if seen in TERMINAL_STATES and row.state != seen and row.state not in REMOVED_STATES:
            yield Violation("regressed", name, f"it was {seen}, and is {row.state}")
    for name, read in readback.documents.items():
        if read.fault is not None:
            yield Violation("mixed up", name, read.fault)
        if name in record.documents:
            state = audit.documents[name].state if name in audit.documents else "unknown"
            yield from _check_read(record.documents[name], state, read)


def _check_reference(document: Document, row: AuditedDocument) -> Iterator[Violation]:
    has_one = document.channel != "batch" and row.state not in REMOVED_STATES
    if row.reference != (document.sample.sha256 if has_one else None):
        yield Violation("mixed up", document.name, f"its reference is {row.reference}")


def _check_kept(document: Document, row: AuditedDocument) -> Iterator[Violation]:
    wanted = EXPECTED_CODES.get(document.sample.kind)
    why = f"it is {row.state} ({row.code}: {row.reason})" if row.code else f"it is {row.state}"
    if row.state in REMOVED_STATES:
        yield Violation("lost", document.name, f"{why}, and no client had deleted it")
    elif row.state == "completed" and wanted:
        yield Violation("mixed up", document.name, "it is no document, and was converted")
    elif row.code != wanted:
        yield Violation("failed wrongly", document.name, why)
    elif not wanted and row.pages != document.sample.pages:
        what = f"it has {row.pages} pages instead of {document.sample.pages}"
        yield Violation("mixed up", document.name, what)


def _check_removed(document: Document, row: AuditedDocument) -> Iterator[Violation]:
    if row.state not in REMOVED_STATES:
        yield Violation("regressed", document.name, f"it was removed, and is {row.state}")
    elif document.removal not in ("asked", row.state):
        what = f"its receipt reads {document.removal}, and it is {row.state}"
        yield Violation("regressed", document.name, what)


def _check_read(document: Document, state: str, read: ReadDocument) -> Iterator[Violation]:
    if read.state is None:
        yield Violation("lost", document.name, "its status cannot be read")
        return
    if read.state != state:
        what = f"its status reads {read.state}, and it is {state}"
        yield Violation("answered wrongly", document.name, what)
    wanted = {"completed": {(200, 200)}, "failed": {(500, 200)}}.get(read.state, {(410, 410)})
    if read.state == "failed" and (document.sample.is_convertible or document.channel == "bus"):
        # Why a good one failed is another violation. What came by the bus and is of an unsupported
        # type was never stored.
        wanted.add((500, 500))
    if state in TERMINAL_STATES and (read.markdown, read.original) not in wanted:
        what = f"it is {state}; Markdown answered {read.markdown}, original {read.original}"
        yield Violation("answered wrongly", document.name, what)


def _check_unaccepted(record: RunRecord, audit: Audit) -> Iterator[Violation]:
    landed = Counter(row.sha256 for row in audit.documents.values() if row.sha256)
    for name, row in audit.documents.items():
        if row.sha256 is not None and row.sha256 not in record.submissions:
            yield Violation("mixed up", name, "it is a document that no client has submitted")
        elif row.sha256 is not None and landed[row.sha256] > 1:
            yield Violation("made twice", name, "another document was made of the same request")


def _check_bills(record: RunRecord, audit: Audit) -> Iterator[Violation]:
    unaccepted = unaccepted_documents(record, audit)
    for name, row in audit.documents.items():
        # A converted document has pages, also when it was deleted since.
        converted = row.pages is not None and row.state in ("completed", "archived", "deleted")
        to_bill = (row.pages or 0) if row.pages_to_bill is None else row.pages_to_bill
        if row.bills > 1:
            yield Violation("billed twice", name, f"it has {row.bills} bills")
        elif row.bills and not converted:
            yield Violation("billed wrongly", name, f"it is {row.state}, and billed")
        elif converted and not row.bills:
            yield Violation("not billed", name, f"it has {row.pages} pages and no bill")
        elif row.billed_pages != to_bill:
            what = f"it has {to_bill} pages to bill, and {row.billed_pages} are billed"
            yield Violation("billed wrongly", name, what)
        if row.bills and name in unaccepted and unaccepted[name].outcome == "refused":
            yield Violation("billed wrongly", name, "it was refused, and billed")
    for name in audit.billed_for_nothing:
        yield Violation("billed wrongly", name, "there is no such document")


def _check_batches(record: RunRecord, readback: Readback, audit: Audit) -> Iterator[Violation]:
    rows: dict[str, list[AuditedDocument]] = {name: [] for name in audit.batches}
    for row in audit.documents.values():
        if row.batch is not None:
            rows.setdefault(row.batch, []).append(row)
    for name, closed in audit.batches.items():
        if not closed and all(row.state in TERMINAL_STATES for row in rows[name]):
            yield Violation("miscounted", name, "all its documents have ended, and it has not")
    for name, made in record.batches.items():
        if name not in audit.batches:
            yield Violation("lost", name, "the batch was accepted, and is not in the database")
            continue
        if sorted(made) != sorted(row.name for row in rows[name]):
            what = f"{len(made)} documents were accepted, and {len(rows[name])} are its own"
            yield Violation("miscounted", name, what)
        if name in readback.batches:
            yield from _check_batch(name, readback.batches[name], rows[name])


def _check_batch(name: str, read: ReadBatch, rows: list[AuditedDocument]) -> Iterator[Violation]:
    ended = [row for row in rows if row.state in TERMINAL_STATES]
    counted = {
        "total": len(rows),
        "pending": sum(row.state == "pending" for row in rows),
        "processing": sum(row.state == "processing" for row in rows),
        "completed": sum(row.code is None for row in ended),
        "failed": sum(row.code is not None for row in ended),
    }
    if read.progress != counted:
        what = f"its status reads {dict(read.progress)}, and it has {counted}"
        yield Violation("miscounted", name, what)
    if len(ended) == len(rows) and set(read.faults) != {row.name for row in rows}:
        what = f"its download has {len(read.faults)} of {len(rows)} documents"
        yield Violation("miscounted", name, what)
    for document, fault in read.faults.items():
        if fault is not None:
            yield Violation("mixed up", document, f"in the download of its batch {fault}")
