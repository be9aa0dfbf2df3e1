"""Batch jobs: many OCR requests at half the price, with results some time later.

Shapes: ``mistralai.client.models.BatchJob``. Rows of the result files, and what a job does on its
way, are as users of the real API have written them down in 2026: ``SUCCESS`` means that every
request was looked at, not that it succeeded; the failed ones are in a file of their own, with their
error as a string of JSON; a cancelled job delivers what it had done by then.

A job takes one step at a time: from QUEUED to RUNNING, where it does the first half of its
requests, and on to SUCCESS, which does the rest.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Any, Literal
from uuid import uuid4

import msgspec

from tests.mistral import errors
from tests.mistral.call_log import CallLog
from tests.mistral.document_reader import digest
from tests.mistral.errors import ApiError
from tests.mistral.ocr import OcrApi
from tests.mistral.rules import Rules
from tests.mistral.store import Files

ENDED = frozenset({"SUCCESS", "FAILED", "TIMEOUT_EXCEEDED", "CANCELLED"})
YIELD_EVERY = 20
"""Requests after which others get a turn."""

NextStatus = Literal[
    "",  # the next of those below
    "RUNNING",
    "CANCELLATION_REQUESTED",
    "SUCCESS",
    "FAILED",
    "TIMEOUT_EXCEEDED",
    "CANCELLED",
]

NEXT: Mapping[str, NextStatus] = {
    "QUEUED": "RUNNING",
    "RUNNING": "SUCCESS",
    "CANCELLATION_REQUESTED": "CANCELLED",
}


class Job(msgspec.Struct, kw_only=True):
    """One job and the results of its requests so far."""

    id: str
    model: str | None
    input_files: list[str]
    metadata: dict[str, str] | None
    requests: list[dict[str, Any]]
    created_at: int
    status: str = "QUEUED"
    started_at: int | None = None
    completed_at: int | None = None
    rows: list[bytes] = []
    failed_rows: list[bytes] = []
    failures: dict[int, int] = {}
    output_file: str | None = None
    error_file: str | None = None
    requests_hash: str = ""
    """The hash of its requests, shortened."""
    was_shown: bool = False
    """Whether it was shown before: the number of requests is shown only from the second time on."""

    @property
    def done(self) -> int:
        """How many requests have been looked at."""
        return len(self.rows) + len(self.failed_rows)

    def view(self, *, inline: bool = False) -> dict[str, Any]:
        """Return the job as the API shows it; ``inline`` puts the results into it."""
        reasons = [
            {"message": f"HTTP Error, status code: {status}", "count": times}
            for status, times in self.failures.items()
        ]
        if self.status == "FAILED":
            reasons.append({"message": "The job failed.", "count": 1})
        outputs = [msgspec.json.decode(row) for row in (*self.rows, *self.failed_rows)]
        shown = {
            "id": self.id,
            "object": "batch",
            "input_files": self.input_files,
            "metadata": self.metadata,
            "endpoint": "/v1/ocr",
            "model": self.model,
            "agent_id": None,
            "output_file": self.output_file,
            "error_file": self.error_file,
            "outputs": outputs if inline and self.status in ENDED else None,
            "errors": reasons,
            "status": self.status,
            "created_at": self.created_at,
            "started_at": self.started_at,
            "completed_at": self.completed_at,
            "total_requests": len(self.requests) if self.was_shown else 0,
            "completed_requests": self.done,
            "succeeded_requests": len(self.rows),
            "failed_requests": len(self.failed_rows),
        }
        self.was_shown = True
        return shown


class Jobs:
    """The jobs, by id; a test advances them, or ``Rules.batch_seconds`` does."""

    def __init__(self, rules: Rules, call_log: CallLog, ocr: OcrApi, files: Files) -> None:
        self._rules = rules
        self._call_log = call_log
        self._ocr = ocr
        self._files = files
        self._jobs: dict[str, Job] = {}
        self._clocks: set[asyncio.Task[None]] = set()
        self._steps = asyncio.Lock()

    def existing(self) -> list[Job]:
        """Return the jobs that are not deleted, the newest first."""
        return list(reversed(self._jobs.values()))

    def get(self, id_: str) -> Job:
        """Return the job, or raise a 404."""
        if id_ not in self._jobs:
            raise errors.job_not_found()
        return self._jobs[id_]

    def delete(self, id_: str) -> None:
        """Delete the job; its files stay."""
        del self._jobs[self.get(id_).id]

    def hash_of(self, id_: str) -> str:
        """Return the hash of the job's requests; of a job that is not there, its id."""
        return self._jobs[id_].requests_hash if id_ in self._jobs else id_

    def create(
        self,
        requests: list[dict[str, Any]],
        *,
        model: str | None,
        input_files: list[str],
        metadata: dict[str, str] | None,
    ) -> Job:
        """Queue a job; with ``Rules.batch_seconds`` it advances by itself."""
        job = Job(
            id=str(uuid4()),
            model=model,
            input_files=input_files,
            metadata=metadata,
            requests=requests,
            created_at=int(time.time()),
            requests_hash=digest(msgspec.json.encode(requests)),
        )
        self._jobs[job.id] = job
        if self._rules.batch_seconds is not None:
            clock = asyncio.create_task(self._run_clock(job, self._rules.batch_seconds / 2))
            self._clocks.add(clock)
            clock.add_done_callback(self._clocks.discard)
        return job

    async def _run_clock(self, job: Job, step: float) -> None:
        while job.status not in ENDED and job.id in self._jobs:
            await asyncio.sleep(step)
            if job.id in self._jobs:
                await self.advance(job.id)

    def cancel(self, id_: str) -> Job:
        """Cancel the job: at once if it has not begun, else at its next step."""
        job = self.get(id_)
        if job.status == "QUEUED":
            self._end(job, "CANCELLED")
        elif job.status == "RUNNING":
            job.status = "CANCELLATION_REQUESTED"
        return job

    async def advance(self, id_: str, status: NextStatus = "") -> Job:
        """Let the job take its next step, or go straight to ``status``."""
        job = self.get(id_)
        async with self._steps:
            if job.status in ENDED:
                return job
            status = status or NEXT[job.status]
            if job.status == "QUEUED" and status not in {"CANCELLED", "FAILED"}:
                job.started_at = int(time.time())
                job.status = "RUNNING"
                await self._process(job, len(job.requests) // 2)
            if status == "SUCCESS":
                await self._process(job, len(job.requests))
            if status in ENDED:
                self._end(job, status)
            elif status == "CANCELLATION_REQUESTED":
                job.status = status
        return job

    def _end(self, job: Job, status: str) -> None:
        job.status = status
        job.completed_at = int(time.time())
        if job.rows:
            name = f"{job.id}_output.jsonl"
            job.output_file = self._files.write(job.rows, name, "batch_result").id
        if job.failed_rows:
            name = f"{job.id}_error.jsonl"
            job.error_file = self._files.write(job.failed_rows, name, "batch_error").id

    async def _process(self, job: Job, up_to: int) -> None:
        for number in range(job.done, up_to):
            request = job.requests[number]
            body = dict(request["body"])
            if body.get("model") is None:
                body["model"] = job.model
            row: dict[str, Any] = {
                "id": f"batch-{job.id[:8]}-{random.getrandbits(32):08x}-{number}",
                "custom_id": request.get("custom_id"),
                "response": {},
                "error": None,
            }
            call = self._call_log.start_call(job=job.id)
            try:
                answer = await self._ocr.answer_batch_request(body, call, None)
            except ApiError as error:
                call.status = error.status
                text = msgspec.json.encode(error.body).decode()
                row["response"] = {"status_code": error.status, "body": text}
                job.failed_rows.append(msgspec.json.encode(row))
                job.failures[error.status] = job.failures.get(error.status, 0) + 1
            else:
                row["response"] = {"status_code": 200, "body": msgspec.Raw(answer)}
                job.rows.append(msgspec.json.encode(row))
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    async def close(self) -> None:
        """Stop every clock."""
        for clock in list(self._clocks):
            clock.cancel()
        await asyncio.gather(*self._clocks, return_exceptions=True)


def requests_of(content: bytes) -> list[dict[str, Any]]:
    """Return the requests of an input file, which was checked when it came."""
    return [msgspec.json.decode(line, type=dict[str, Any]) for line in content.splitlines()]
