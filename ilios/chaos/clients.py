"""Clients of a service under test: the bus, polling, a mixed workload.

The workload is as rude as clients are: it repeats what was not answered, deletes what has only
just been accepted, and submits files that are no documents.
"""

import asyncio
import random
import time
from collections.abc import (
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from bus.connection import connect
from bus.errors import BusUnavailable
from bus.publisher import Publisher
from ilios.chaos.documents import Kind, SampleDocument
from ilios.chaos.http_client import BATCH, RETRY_PAUSE, UNAVAILABLE_STATUSES, HttpClient, Response
from ilios.chaos.record import Channel, Document, Outcome, RunRecord, Submission
from schemas.documents import DocumentSubmitted, Inline
from schemas.ids import new_id

SUBMIT, CONVERT = "/api/documents/submit", "/v1/convert"
ACK_TIMEOUT = 3.0  # seconds until the log has acknowledged an event
POLLED_OLDEST, POLLED_OTHERS, POLLED_ENDED = 20, 6, 2
"""Documents polled in one round: the oldest end first as a rule, and final states must stay."""
POLLS_AT_ONCE = 4  # requests: the machine is to be busy with documents

_ACTIONS = ("submit", "batch", "convert", "keyed", "bus", "repeat", "delete")
_ACTION_WEIGHTS = (4, 2, 2, 4, 2, 2, 1)
_KIND_WEIGHTS: Mapping[Kind, int] = {"pdf": 80, "docx": 10, "broken": 6, "unknown": 4}
_PAGE_WEIGHTS = {1: 50, 3: 30, 20: 15, 120: 5}
"""Pages of a PDF; the longest keeps an engine busy long enough to be killed at it."""
_MAX_BATCH_SIZE = 6
_RECENT = 12  # documents, of which most are still in progress
_CHANNELS: Mapping[str, Channel] = {SUBMIT: "submit", BATCH: "batch", CONVERT: "convert"}
_ACCEPTED = (200, 202, 422)


async def publish(operator_url: Path, document_id: str, sample: SampleDocument) -> bool:
    """Submit a document by the bus; returns whether the log has acknowledged it.

    Repeated with the same id it is one submission.
    """
    try:
        # Read each time: the address changes with each start of the service.
        url = (await asyncio.to_thread(operator_url.read_text)).strip()
        async with connect(url, name="chaos") as connection:
            event = DocumentSubmitted(
                document_id=document_id,
                source=Inline(sample.content),
                file_name=sample.file_name,
                reference=sample.sha256,
            )
            await Publisher(connection).publish(event, within=ACK_TIMEOUT)
    except (BusUnavailable, OSError):
        return False
    return True


async def poll(client: HttpClient, record: RunRecord, rng: random.Random) -> None:
    """Poll documents for ever, among them some that have ended."""

    def sample(documents: list[Document], limit: int) -> list[Document]:
        return rng.sample(documents, min(limit, len(documents)))

    while True:
        unfinished = record.unfinished
        ended = [one for one in record.documents.values() if one.ended_at is not None]
        chosen = [*unfinished[:POLLED_OLDEST], *sample(unfinished, POLLED_OTHERS)]
        chosen += sample(ended, POLLED_ENDED)
        await poll_all(client, record, dict.fromkeys(one.name for one in chosen))
        await asyncio.sleep(RETRY_PAUSE)


async def poll_all(client: HttpClient, record: RunRecord, names: Iterable[str]) -> None:
    """Poll each of these documents once."""
    left = iter(names)

    async def poll_next() -> None:
        for name in left:
            await poll_status(client, record, name)

    await asyncio.gather(*(poll_next() for _ in range(POLLS_AT_ONCE)))


async def poll_status(client: HttpClient, record: RunRecord, name: str) -> None:
    """Ask once for the status of a document, and record the response."""
    began = time.monotonic()
    response = await client.request("GET", f"/api/documents/status/{name}")
    if response is None or response.status in UNAVAILABLE_STATUSES:
        return
    if response.status == 404:
        record.record_unknown(name)
    elif response.status != 200:
        what = f"its status was answered {response.status}: {response.text[:200]}"
        record.add_violation("answered wrongly", name, what)
    else:
        body, now = response.json, time.monotonic()
        record.record_state(name, str(body["status"]), body.get("code"), asked_at=began, now=now)


class _Request(Struct, frozen=True):
    """A request that may be repeated, and the documents it has made."""

    path: str
    samples: tuple[SampleDocument, ...]
    key: str
    document_ids: tuple[str, ...]


class Workload:
    """Clients that use every channel at once, and record what they are promised.

    ``max_accepted`` returns how many documents may be accepted at this moment.
    """

    def __init__(
        self,
        client: HttpClient,
        record: RunRecord,
        operator_url: Path,
        seed: int,
        max_accepted: Callable[[], int],
    ) -> None:
        self._http = client
        self._record = record
        self._operator_url = operator_url
        self._max_accepted = max_accepted
        self._random = random.Random(seed)  # noqa: S311  # it is to be repeatable, not secret
        self._run_id = f"{seed}-{new_id()}"
        self._sample_count = 0
        self._in_flight = 0
        self._requests: list[_Request] = []
        # Each once, whatever the seed: also a short run uses every channel.
        self._first_actions = list(_ACTIONS)
        self._first_kinds = list(_KIND_WEIGHTS)

    async def run(self, clients: int, wanted: int) -> None:
        """Return when ``wanted`` documents are accepted and every action was taken once."""
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self._client(wanted))

    async def _client(self, wanted: int) -> None:
        actions: dict[str, Callable[[], Awaitable[None]]] = {
            "submit": lambda: self._submit_without_key(SUBMIT),
            "batch": lambda: self._submit_without_key(BATCH),
            "convert": lambda: self._submit_without_key(CONVERT),
            "keyed": self._submit_with_key,
            "bus": self._submit_by_bus,
            "repeat": self._repeat,
            "delete": self._delete,
        }
        while (accepted := len(self._record.documents)) < wanted or any(
            map(self._is_possible, self._first_actions)
        ):
            if accepted < wanted and accepted + self._in_flight >= self._max_accepted():
                # Enough for now, if what the others are submitting is accepted.
                await asyncio.sleep(RETRY_PAUSE)
                continue
            action = self._next_action()
            with self._http.activities.doing(action):
                await actions[action]()
            await asyncio.sleep(0)  # there may have been nothing to repeat or delete

    def _next_action(self) -> str:
        # From the end: repeating and deleting are tried as soon as there is something to repeat.
        for action in filter(self._is_possible, reversed(self._first_actions)):
            self._first_actions.remove(action)
            return action
        (action,) = self._random.choices(_ACTIONS, _ACTION_WEIGHTS)
        return action

    def _is_possible(self, action: str) -> bool:
        needed = {"repeat": self._requests, "delete": self._record.documents}
        return bool(needed.get(action, True))

    def _new_samples(self, path: str = SUBMIT) -> tuple[SampleDocument, ...]:
        count = self._random.randint(2, _MAX_BATCH_SIZE) if path == BATCH else 1
        return tuple(self._new_sample() for _ in range(count))

    def _new_sample(self) -> SampleDocument:
        self._sample_count += 1
        (kind,) = self._random.choices(list(_KIND_WEIGHTS), list(_KIND_WEIGHTS.values()))
        if self._first_kinds:
            kind = self._first_kinds.pop(0)
        (pages,) = self._random.choices(list(_PAGE_WEIGHTS), list(_PAGE_WEIGHTS.values()))
        return SampleDocument(self._sample_count, kind, pages if kind == "pdf" else 1)

    async def _submit_without_key(self, path: str) -> None:
        """Submit once: without a response it remains open whether the document was accepted."""
        samples = self._new_samples(path)
        with self._submitting(samples, _CHANNELS[path]) as submissions:
            began = time.monotonic()
            response = await self._http.request("POST", path, samples)
            if response is not None and response.status not in UNAVAILABLE_STATUSES:
                await self._record_accepted(response, submissions, began)
                return
            outcome: Outcome = "unanswered"
            if response is not None:
                outcome = "refused"
                self._record.refusals[f"{response.status} {response.json.get('code')}"] += 1
            for submission in submissions:
                submission.outcome = outcome

    async def _submit_with_key(self) -> None:
        """Submit under an Idempotency-Key, repeated until there is a response."""
        path = self._random.choice((SUBMIT, BATCH, CONVERT))
        samples = self._new_samples(path)
        key = f"{self._run_id}-{samples[0].number}"
        with self._submitting(samples, _CHANNELS[path]) as submissions:
            began = time.monotonic()
            response = await self._http.request_until_answered("POST", path, samples, key)
            made = await self._record_accepted(response, submissions, began)
        if made:
            self._requests.append(_Request(path, samples, key, made))

    async def _repeat(self) -> None:
        if not self._requests:
            return
        request = self._random.choice(self._requests)
        response = await self._http.request_until_answered(
            "POST", request.path, request.samples, request.key
        )
        removed = [self._record.documents[name].removal != "none" for name in request.document_ids]
        if response.status == 410 and all(removed):
            return
        if response.status not in _ACCEPTED or response.document_ids != request.document_ids:
            what = f"its request was repeated and answered {response.status}: {response.text[:200]}"
            self._record.add_violation("made twice", request.document_ids[0], what)

    async def _submit_by_bus(self) -> None:
        samples, name = self._new_samples(), new_id()
        with self._submitting(samples, "bus") as (submission,):
            while not await publish(self._operator_url, name, samples[0]):
                self._http.activities.attempt("publish")
                self._http.activities.result("not acknowledged")
                await asyncio.sleep(RETRY_PAUSE)  # nothing signals when the bus is back
            self._record.record_accepted(name, submission, time.monotonic())

    async def _delete(self) -> None:
        candidates = [one for one in self._record.documents.values() if one.removal == "none"]
        if not candidates:
            return
        document = self._random.choice(self._random.choice((candidates, candidates[-_RECENT:])))
        document.removal = "asked"
        response = await self._http.request_until_answered(
            "DELETE", f"/api/documents/{document.name}"
        )
        receipt = response.json.get("status")
        if response.status == 404:
            self._record.record_unknown(document.name)
        elif response.status not in (200, 202) or receipt not in ("cancelled", "deleted"):
            what = f"DELETE was answered {response.status}: {response.text[:200]}"
            self._record.add_violation("answered wrongly", document.name, what)
        elif response.status == 200:
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

    async def _record_accepted(
        self, response: Response, submissions: list[Submission], began: float
    ) -> tuple[str, ...]:
        """Record what was made, and poll it at once: an accepted document is never unknown."""
        made = response.document_ids if response.status in _ACCEPTED else ()
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
            mismatch = submission.sample.find_mismatch(response.text)
            if mismatch is not None:
                what = f"/v1/convert answered that {mismatch}"
                self._record.add_violation("mixed up", name, what)
            self._record.record_state(name, "completed", None, asked_at=began, now=now)
        await poll_status(self._http, self._record, made[-1])
        return made
