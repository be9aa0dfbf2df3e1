"""Clients that use every door at once, and note what they were promised.

They are as rude as clients are: they send again what was not answered, delete what has only just
been accepted, and hand in files that are none.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from ilios.chaos import bus_client
from ilios.chaos.documents import Kind, SampleDocument
from ilios.chaos.expectations import Channel, Outcome, RunRecord, Submission
from ilios.chaos.http_client import RETRY_PAUSE, UNAVAILABLE_STATUSES, HttpClient, Response
from schemas.ids import new_id

SUBMIT, BATCH, CONVERT = "/api/documents/submit", "/v1/batch/submit", "/v1/convert"

_ACTION_WEIGHTS = {
    "submit": 4,
    "batch": 2,
    "convert": 2,
    "keyed": 4,
    "bus": 2,
    "repeat": 2,
    "delete": 1,
}
"""What a client does next, and how often beside the rest."""
_KIND_WEIGHTS: Mapping[Kind, int] = {"pdf": 80, "docx": 10, "broken": 6, "unknown": 4}
_PAGE_WEIGHTS = {1: 50, 3: 30, 20: 15, 120: 5}
"""How many pages a PDF has; the longest keeps an engine busy long enough to be hit at it."""
_MAX_BATCH_SIZE = 6
_LATEST = 12  # documents, of which most are still under way
_CHANNELS: Mapping[str, Channel] = {SUBMIT: "submit", BATCH: "batch", CONVERT: "convert"}
_ACCEPTED = (200, 202, 422)


class _Request(Struct, frozen=True):
    """A request that may be repeated, and the documents it has made."""

    path: str
    samples: tuple[SampleDocument, ...]
    key: str
    document_ids: tuple[str, ...]


class Workload:
    """``clients`` at once, until so many documents are accepted.

    ``allowed`` says how many may be accepted at this moment.
    """

    def __init__(
        self,
        client: HttpClient,
        record: RunRecord,
        data_dir: Path,
        seed: int,
        max_accepted: Callable[[], int],
    ) -> None:
        self._http = client
        self._record = record
        self._data_dir = data_dir
        self._max_accepted = max_accepted
        self._random = random.Random(seed)  # noqa: S311  # it is to be repeatable, not secret
        self._run_id = f"{seed}-{new_id()}"
        self._sample_count = 0
        self._in_flight = 0
        self._requests: list[_Request] = []
        # Each once, whatever chance says: also in a short run every door is used.
        self._first_actions = list(_ACTION_WEIGHTS)
        self._first_kinds = list(_KIND_WEIGHTS)

    async def run(self, clients: int, wanted: int) -> None:
        """Return when so many documents are accepted and every action was taken once."""
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self._client(wanted))

    async def _client(self, wanted: int) -> None:
        actions: dict[str, Callable[[], Awaitable[None]]] = {
            "submit": lambda: self._submit_without_key(SUBMIT, 1),
            "batch": lambda: self._submit_without_key(
                BATCH, self._random.randint(2, _MAX_BATCH_SIZE)
            ),
            "convert": lambda: self._submit_without_key(CONVERT, 1),
            "keyed": self._submit_with_key,
            "bus": self._submit_by_bus,
            "repeat": self._repeat,
            "delete": self._delete,
        }
        while (
            accepted := len(self._record.documents)
        ) < wanted or self._has_pending_first_action():
            if accepted < wanted and accepted + self._in_flight >= self._max_accepted():
                # Enough for now, if what the others have in hand is accepted.
                await asyncio.sleep(RETRY_PAUSE)
                continue
            action = self._next_action()
            await actions[action]()
            await asyncio.sleep(0)  # there may have been nothing to repeat or delete

    def _has_pending_first_action(self) -> bool:
        """Whether something that every run does once was not done yet, and can be done now."""
        return any(map(self._is_possible, self._first_actions))

    def _next_action(self) -> str:
        # From the end: what needs that something was done before is done as soon as it can be.
        for action in filter(self._is_possible, reversed(self._first_actions)):
            self._first_actions.remove(action)
            return action
        (action,) = self._random.choices(list(_ACTION_WEIGHTS), list(_ACTION_WEIGHTS.values()))
        return action

    def _is_possible(self, action: str) -> bool:
        """Whether there is what the action needs."""
        needed = {"repeat": self._requests, "delete": self._record.documents}
        return bool(needed.get(action, True))

    def _new_samples(self, count: int) -> tuple[SampleDocument, ...]:
        return tuple(self._new_sample() for _ in range(count))

    def _new_sample(self) -> SampleDocument:
        self._sample_count += 1
        (kind,) = self._random.choices(list(_KIND_WEIGHTS), list(_KIND_WEIGHTS.values()))
        if self._first_kinds:
            kind = self._first_kinds.pop(0)
        (pages,) = self._random.choices(list(_PAGE_WEIGHTS), list(_PAGE_WEIGHTS.values()))
        return SampleDocument(self._sample_count, kind, pages if kind == "pdf" else 1)

    async def _submit_without_key(self, path: str, count: int) -> None:
        """Without a key: if nobody answers, nobody knows whether there is a document."""
        samples = self._new_samples(count)
        with self._submitting(samples, _CHANNELS[path]) as submissions:
            began = time.monotonic()
            answer = await self._http.request("POST", path, samples)
            self._record_failure(answer, submissions)
            if answer is not None and answer.status not in UNAVAILABLE_STATUSES:
                await self._record_accepted(answer, submissions, began)

    async def _submit_with_key(self) -> None:
        """With a key, and so until somebody answers."""
        path = self._random.choice((SUBMIT, BATCH, CONVERT))
        samples = self._new_samples(
            self._random.randint(2, _MAX_BATCH_SIZE) if path == BATCH else 1
        )
        key = f"{self._run_id}-{samples[0].number}"
        with self._submitting(samples, _CHANNELS[path]) as submissions:
            began = time.monotonic()
            answer = await self._http.request_until_answered("POST", path, samples, key)
            made = await self._record_accepted(answer, submissions, began)
        if made:
            self._requests.append(_Request(path, samples, key, made))

    async def _repeat(self) -> None:
        if not self._requests:
            return
        request = self._random.choice(self._requests)
        answer = await self._http.request_until_answered(
            "POST", request.path, request.samples, request.key
        )
        removed = [self._record.documents[name].removal != "none" for name in request.document_ids]
        if answer.status == 410 and all(removed):
            return
        if answer.status not in _ACCEPTED or document_ids_of(answer) != request.document_ids:
            what = f"its request was repeated and answered {answer.status}: {answer.text[:200]}"
            self._record.add_violation("made twice", request.document_ids[0], what)

    async def _submit_by_bus(self) -> None:
        samples, name = self._new_samples(1), new_id()
        with self._submitting(samples, "bus") as (submission,):
            while not await bus_client.publish(self._data_dir, name, samples[0]):  # noqa: ASYNC110
                await asyncio.sleep(RETRY_PAUSE)  # nobody tells when the bus is back
            self._record.record_accepted(name, submission, time.monotonic())

    async def _delete(self) -> None:
        kept = [one for one in self._record.documents.values() if one.removal == "none"]
        if not kept:
            return
        document = self._random.choice(self._random.choice((kept, kept[-_LATEST:])))
        document.removal = "asked"
        answer = await self._http.request_until_answered(
            "DELETE", f"/api/documents/{document.name}"
        )
        receipt = answer.json.get("status")
        if answer.status == 404:
            self._record.record_unknown(document.name)
        elif answer.status not in (200, 202) or receipt not in ("cancelled", "deleted"):
            what = f"DELETE was answered {answer.status}: {answer.text[:200]}"
            self._record.add_violation("answered wrongly", document.name, what)
        elif answer.status == 200:
            document.removal = receipt

    @contextmanager
    def _submitting(
        self, samples: tuple[SampleDocument, ...], channel: Channel
    ) -> Iterator[list[Submission]]:
        self._in_flight += len(samples)
        try:
            yield [self._record.add_submission(sample, channel) for sample in samples]
        finally:
            self._in_flight -= len(samples)

    def _record_failure(self, response: Response | None, submissions: list[Submission]) -> None:
        """Note that a request was not answered, or that the service was not able to serve it."""
        if response is None:
            outcome: Outcome = "unanswered"
        elif response.status in UNAVAILABLE_STATUSES:
            outcome = "refused"
            self._record.refusals[f"{response.status} {response.json.get('code')}"] += 1
        else:
            return
        for submission in submissions:
            submission.outcome = outcome

    async def _record_accepted(
        self, response: Response, submissions: list[Submission], began: float
    ) -> tuple[str, ...]:
        """Note what was made, and ask for it at once: what was accepted is never unknown."""
        made = document_ids_of(response) if response.status in _ACCEPTED else ()
        if len(made) != len(submissions):
            for submission in submissions:
                submission.outcome = "refused"
            what = f"{response.status} for {len(submissions)} documents: {response.text[:200]}"
            number = submissions[0].sample.number
            self._record.add_violation("answered wrongly", f"submission of document {number}", what)
            return ()
        now = time.monotonic()
        for name, submission in zip(made, submissions, strict=True):
            self._record.record_accepted(name, submission, now)
        if response.status == 202 and "batchId" in response.json:
            self._record.batches[str(response.json["batchId"])] = list(made)
        elif response.status == 200:
            (name,), (submission,) = made, submissions
            fault = submission.sample.find_mismatch(response.text)
            if fault is not None:
                self._record.add_violation("mixed up", name, f"/v1/convert answered that {fault}")
            self._record.record_state(name, "completed", None, asked_at=began, now=now)
        await poll_status(self._http, self._record, made[-1])
        return made


async def poll_status(client: HttpClient, record: RunRecord, name: str) -> None:
    """Ask once how far a document is, and note what is said."""
    began = time.monotonic()
    answer = await client.request("GET", f"/api/documents/status/{name}")
    if answer is None or answer.status in UNAVAILABLE_STATUSES:
        return
    if answer.status == 404:
        record.record_unknown(name)
    elif answer.status != 200:
        what = f"its status was answered {answer.status}: {answer.text[:200]}"
        record.add_violation("answered wrongly", name, what)
    else:
        body = answer.json
        record.record_state(
            name, str(body["status"]), body.get("code"), asked_at=began, now=time.monotonic()
        )


def document_ids_of(response: Response) -> tuple[str, ...]:
    """Return the ids of the documents a request has made; none where the answer names none."""
    if "X-Document-Id" in response.headers:
        return (response.headers["X-Document-Id"],)
    body = response.json
    if "documents" in body:
        return tuple(str(one["id"]) for one in body["documents"])
    return (str(body["id"]),) if "id" in body else ()
