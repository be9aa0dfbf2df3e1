"""Requests as HTTP has them and as the bus has them, for ``test_two_doors``.

A text such as ``<completed>`` stands for the id of what the test has made under that name.
"""

import base64
import io
from collections.abc import Callable
from typing import Any, NamedTuple

import aiohttp

from schemas.ids import new_id
from tests import documents

PDF = documents.pdf("The same by both doors")
BROKEN = b"%PDF-1.7 and then nothing that is one"
UNKNOWN = new_id()


class Sent(NamedTuple):
    """One request of the table as HTTP has it and as the bus has it."""

    method: str
    path: str
    operation: str
    members: Any = None
    http: Any = None  # keyword arguments of the client
    key: str | None = None  # the idempotency key, the same at both doors
    words: bool = True  # whether the sentences are the same, too


def files(*contents: bytes) -> aiohttp.FormData:
    form = aiohttp.FormData()
    for content in contents:
        form.add_field("files", content, filename="one.pdf", content_type="application/pdf")
    return form


def inline(content: bytes = PDF) -> dict[str, str]:
    return {"kind": "inline", "data": base64.b64encode(content).decode()}


def submission(content: bytes = PDF, **members: Any) -> dict[str, Any]:
    return {
        "source": inline(content),
        "file_name": "one.pdf",
        "content_type": "application/pdf",
    } | members


def raw(content: bytes | io.BytesIO = PDF) -> dict[str, Any]:
    return {"data": content, "headers": {"Content-Type": "application/pdf"}}


SUBMIT, CONVERT, BATCH = "/v1/documents", "/v1/convert", "/v1/batch/submit"
URL = {"url": "https://example.com/a.pdf"}
REMOTE = {"kind": "url"} | URL


def by_url(count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a batch of so many documents, as HTTP has it and as the bus has it."""
    return {"documents": [URL] * count}, {"documents": [{"source": REMOTE}] * count}


def document(operation: str, name: str, **more: Any) -> Sent:
    method, path = {
        "status": ("GET", "/v1/documents/{}"),
        "cancel": ("DELETE", "/v1/documents/{}"),
        "result": ("GET", "/v1/documents/{}/content"),
    }[operation]
    query = {"params": {k.replace("chunk_size", "chunkSize"): str(v) for k, v in more.items()}}
    return Sent(method, path.format(name), operation, {"document_id": name} | more, query)


def batch(count: int, **more: Any) -> Sent:
    http, bus = by_url(count)
    names = {"retention_days": "retentionDays", "engine_batch": "useMistralBatch"}
    members = {names.get(name, name): value for name, value in more.items()}
    return Sent("POST", BATCH, "batch.submit", bus | more, {"json": http | members})


def usage(path: str, **members: Any) -> Sent:
    names = {"start_date": "startDate", "end_date": "endDate"}
    params = {names[name]: value for name, value in members.items() if name in names}
    return Sent("GET", f"/api/usage/{path}", "usage", members, {"params": params})


def submit(path: str, operation: str, members: Any, **http: Any) -> Sent:
    return Sent("POST", path, operation, members, http)


FILE = f"{SUBMIT}?fileName=one.pdf"
TABLE: dict[str, Callable[[], Sent]] = {
    "submit": lambda: submit(FILE, "submit", submission(), **raw()),
    "submit, with options": lambda: submit(
        f"{FILE}&pages=1&retentionDays=7",
        "submit",
        submission(options={"pages": "1"}, retention_days=7),
        **raw(),
    ),
    "submit an address": lambda: submit(SUBMIT, "submit", {"source": REMOTE}, json=URL),
    "no address": lambda: submit(
        SUBMIT, "submit", {"source": {"kind": "url", "url": "no"}}, json={"url": "no"}
    ),
    "unknown member": lambda: submit(
        SUBMIT, "submit", {"source": REMOTE, "prority": 3}, json=URL | {"prority": 3}
    )._replace(words=False),
    "unknown option": lambda: submit(
        SUBMIT,
        "submit",
        {"source": REMOTE, "options": {"langage": "de"}},
        json=URL | {"langage": "de"},
    ),
    "bad option": lambda: submit(
        SUBMIT, "submit", {"source": REMOTE, "options": {"pages": "0"}}, json=URL | {"pages": "0"}
    ),
    "option of another engine": lambda: submit(
        SUBMIT,
        "submit",
        {"source": REMOTE, "options": {"engine": "mistral", "comments": True}},
        json=URL | {"engine": "mistral", "comments": True},
    ),
    "engine that is not set up": lambda: submit(
        SUBMIT,
        "submit",
        {"source": REMOTE, "options": {"engine": "mistral"}},
        json=URL | {"engine": "mistral"},
    ),
    "retention out of range": lambda: submit(
        SUBMIT, "submit", {"source": REMOTE, "retention_days": 0}, json=URL | {"retentionDays": 0}
    ),
    "labels": lambda: submit(
        f"{FILE}&reference=R%201&metadata=%7B%22case%22:%5B17%5D%7D&priority=9",
        "submit",
        submission(reference="R 1", metadata={"case": [17]}, priority=9),
        **raw(),
    ),
    "deadline": lambda: submit(
        f"{FILE}&deadline=2100-01-01T00:00:00Z",
        "submit",
        submission(deadline="2100-01-01T00:00:00Z"),
        **raw(),
    ),
    "deadline that has passed": lambda: submit(
        SUBMIT,
        "submit",
        {"source": REMOTE, "deadline": "2026-01-15T10:30:00Z"},
        json=URL | {"deadline": "2026-01-15T10:30:00Z"},
    ),
    "bad reference": lambda: submit(
        SUBMIT, "submit", {"source": REMOTE, "reference": ""}, json=URL | {"reference": ""}
    ),
    "bad metadata": lambda: submit(
        SUBMIT, "submit", {"source": REMOTE, "metadata": "[]"}, json=URL | {"metadata": "[]"}
    ),
    "bad priority": lambda: submit(
        SUBMIT, "submit", {"source": REMOTE, "priority": 0}, json=URL | {"priority": 0}
    ),
    "bad password": lambda: submit(
        SUBMIT, "submit", {"source": REMOTE, "password": ""}, json=URL | {"password": ""}
    ),
    "nothing named": lambda: submit(SUBMIT, "submit", {}, json={})._replace(words=False),
    "no JSON": lambda: submit(
        SUBMIT, "submit", b"{", data=b"{", headers={"Content-Type": "application/json"}
    ),
    "no object": lambda: submit(SUBMIT, "submit", b"[]", json=[]),
    "member twice": lambda: submit(
        SUBMIT,
        "submit",
        b'{"source": 1, "source": 2}',
        data=b'{"url": 1, "url": 2}',
        headers={"Content-Type": "application/json"},
    ),
    "empty document": lambda: submit(FILE, "submit", submission(b""), data=files_of_one(b"")),
    "too large": lambda: submit(
        FILE, "submit", submission(bytes(600 * 1024)), **raw(io.BytesIO(bytes(1200 * 1024)))
    )._replace(words=False),
    "bad idempotency key": lambda: submit(FILE, "submit", submission(), **raw())._replace(key='"'),
    "convert": lambda: submit(f"{CONVERT}?fileName=one.pdf", "convert", submission(), **raw()),
    "convert to JSON": lambda: submit(
        f"{CONVERT}?fileName=one.pdf&format=json", "convert", submission(format="json"), **raw()
    ),
    "convert to a format there is not": lambda: submit(
        f"{CONVERT}?fileName=one.pdf&format=docx", "convert", submission(format="docx"), **raw()
    ),
    "convert what is broken": lambda: submit(
        f"{CONVERT}?fileName=one.pdf", "convert", submission(BROKEN), **raw(BROKEN)
    ),
    "status": lambda: document("status", "<completed>"),
    "status of a failed one": lambda: document("status", "<failed>"),
    "status of a removed one": lambda: document("status", "<removed>"),
    "status of nothing": lambda: document("status", UNKNOWN),
    "status of another's": lambda: document("status", "<foreign>"),
    "status, waiting": lambda: document("status", "<completed>", wait=5),
    "waiting for too long": lambda: document("status", "<completed>", wait=61),
    "status of no id": lambda: document("status", "Not-An-Id"),
    "result": lambda: document("result", "<completed>"),
    "result as JSON": lambda: document("result", "<completed>", format="json"),
    "result as text": lambda: document("result", "<completed>", format="text"),
    "result as HTML": lambda: document("result", "<completed>", format="html"),
    "result as chunks": lambda: document("result", "<completed>", format="chunks", chunk_size=64),
    "result in no format": lambda: document("result", "<completed>", format="docx"),
    "option of another format": lambda: document("result", "<completed>", chunk_size=64),
    "result of a failed one": lambda: document("result", "<failed>"),
    "result of a removed one": lambda: document("result", "<removed>"),
    "result of nothing": lambda: document("result", UNKNOWN),
    "result of another's": lambda: document("result", "<foreign>"),
    "part of a result": lambda: document("result", "<completed>", offset=4)._replace(
        http={"headers": {"Range": "bytes=4-"}}
    ),
    "no such part": lambda: document("result", "<completed>", offset=4000)._replace(
        http={"headers": {"Range": "bytes=4000-"}}
    ),
    "cancel what is removed": lambda: document("cancel", "<removed>"),
    "cancel nothing": lambda: document("cancel", UNKNOWN),
    "cancel another's": lambda: document("cancel", "<foreign>"),
    "batch": lambda: Sent(
        "POST",
        BATCH,
        "batch.submit",
        {"documents": [submission(), submission()]},
        {"data": files(PDF, PDF)},
    ),
    "batch of 100": lambda: batch(100, priority=1),
    "batch with labels": lambda: Sent(
        "POST",
        BATCH,
        "batch.submit",
        {"documents": [{"source": REMOTE, "reference": "a"}], "metadata": {"b": 1}},
        {"json": {"documents": [URL | {"reference": "a"}], "metadata": {"b": 1}}},
    ),
    "batch of 0": lambda: batch(0),
    "batch of 101": lambda: batch(101),
    "batch with a bad priority": lambda: batch(1, priority=11),
    "batch with a bad retention": lambda: batch(1, retention_days=3651),
    "batch of Mistral's": lambda: batch(1, engine_batch=True),
    "status of a batch": lambda: Sent(
        "GET", "/v1/batch/status/<batch>", "batch.status", {"batch_id": "<batch>"}
    ),
    "status of a batch in detail": lambda: Sent(
        "GET",
        "/v1/batch/status/<batch>?details=true",
        "batch.status",
        {"batch_id": "<batch>", "details": True},
    ),
    "status of no batch": lambda: Sent(
        "GET", f"/v1/batch/status/{UNKNOWN}", "batch.status", {"batch_id": UNKNOWN}
    ),
    "status of another's batch": lambda: Sent(
        "GET",
        "/v1/batch/status/<foreign-batch>",
        "batch.status",
        {"batch_id": "<foreign-batch>"},
    ),
    "usage": lambda: usage("summary", start_date="2020-01-01"),
    "usage of the past": lambda: usage("summary", end_date="2020-01-01T00:00:00Z"),
    "usage by operation": lambda: usage("breakdown", breakdown=True),
    "usage of no date": lambda: usage("summary", start_date="yesterday"),
    "usage to before": lambda: usage("summary", start_date="2026-02-01", end_date="2026-01-01"),
}


def files_of_one(content: bytes) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("file", content, filename="one.pdf")
    return form
