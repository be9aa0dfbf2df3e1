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

from ilios.chaos import bus_door
from ilios.chaos.asking import AWAY, PAUSE, Answer, Asking
from ilios.chaos.papers import Kind, Paper
from ilios.chaos.promises import Book, Door, Outcome, Submission
from schemas.ids import new_id

SUBMIT, BATCH, CONVERT = "/api/documents/submit", "/v1/batch/submit", "/v1/convert"

_ACTIONS = {"submit": 4, "batch": 2, "convert": 2, "keyed": 4, "bus": 2, "repeat": 2, "delete": 1}
"""What a client does next, and how often beside the rest."""
_KINDS: Mapping[Kind, int] = {"pdf": 80, "docx": 10, "broken": 6, "unknown": 4}
_PAGES = {1: 50, 3: 30, 20: 15, 120: 5}
"""How many pages a PDF has; the longest keeps an engine busy long enough to be hit at it."""
_MOST_IN_BATCH = 6
_LATEST = 12  # documents, of which most are still under way
_DOORS: Mapping[str, Door] = {SUBMIT: "submit", BATCH: "batch", CONVERT: "convert"}
_ACCEPTED = (200, 202, 422)


class _Request(Struct, frozen=True):
    """A request that may be repeated, and the documents it has made."""

    path: str
    papers: tuple[Paper, ...]
    key: str
    made: tuple[str, ...]


class Crowd:
    """``clients`` at once, until so many documents are accepted.

    ``allowed`` says how many may be accepted at this moment.
    """

    def __init__(
        self, asking: Asking, book: Book, data: Path, seed: int, allowed: Callable[[], int]
    ) -> None:
        self._asking = asking
        self._book = book
        self._data = data
        self._allowed = allowed
        self._chance = random.Random(seed)  # noqa: S311  # it is to be repeatable, not secret
        self._run = f"{seed}-{new_id()}"
        self._made = 0
        self._in_hand = 0
        self._requests: list[_Request] = []
        # Each once, whatever chance says: also in a short run every door is used.
        self._first_actions = list(_ACTIONS)
        self._first_kinds = list(_KINDS)

    async def work(self, clients: int, wanted: int) -> None:
        """Return when so many documents are accepted and every action was taken once."""
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self._client(wanted))

    async def _client(self, wanted: int) -> None:
        actions: dict[str, Callable[[], Awaitable[None]]] = {
            "submit": lambda: self._plain(SUBMIT, 1),
            "batch": lambda: self._plain(BATCH, self._chance.randint(2, _MOST_IN_BATCH)),
            "convert": lambda: self._plain(CONVERT, 1),
            "keyed": self._keyed,
            "bus": self._bus,
            "repeat": self._repeat,
            "delete": self._delete,
        }
        while (accepted := len(self._book.documents)) < wanted or self._is_left():
            if accepted < wanted and accepted + self._in_hand >= self._allowed():
                # Enough for now, if what the others have in hand is accepted.
                await asyncio.sleep(PAUSE)
                continue
            action = self._next_action()
            await actions[action]()
            await asyncio.sleep(0)  # there may have been nothing to repeat or delete

    def _is_left(self) -> bool:
        """Whether something that every run does once was not done yet, and can be done now."""
        return any(map(self._may_begin, self._first_actions))

    def _next_action(self) -> str:
        # From the end: what needs that something was done before is done as soon as it can be.
        for action in filter(self._may_begin, reversed(self._first_actions)):
            self._first_actions.remove(action)
            return action
        (action,) = self._chance.choices(list(_ACTIONS), list(_ACTIONS.values()))
        return action

    def _may_begin(self, action: str) -> bool:
        """Whether there is what the action needs."""
        needed = {"repeat": self._requests, "delete": self._book.documents}
        return bool(needed.get(action, True))

    def _papers(self, count: int) -> tuple[Paper, ...]:
        return tuple(self._paper() for _ in range(count))

    def _paper(self) -> Paper:
        self._made += 1
        (kind,) = self._chance.choices(list(_KINDS), list(_KINDS.values()))
        if self._first_kinds:
            kind = self._first_kinds.pop(0)
        (pages,) = self._chance.choices(list(_PAGES), list(_PAGES.values()))
        return Paper(self._made, kind, pages if kind == "pdf" else 1)

    async def _plain(self, path: str, count: int) -> None:
        """Without a key: if nobody answers, nobody knows whether there is a document."""
        papers = self._papers(count)
        with self._handing_in(papers, _DOORS[path]) as submissions:
            began = time.monotonic()
            answer = await self._asking.once("POST", path, papers)
            self._heard(answer, submissions)
            if answer is not None and answer.status not in AWAY:
                await self._accepted(answer, submissions, began)

    async def _keyed(self) -> None:
        """With a key, and so until somebody answers."""
        path = self._chance.choice((SUBMIT, BATCH, CONVERT))
        papers = self._papers(self._chance.randint(2, _MOST_IN_BATCH) if path == BATCH else 1)
        key = f"{self._run}-{papers[0].number}"
        with self._handing_in(papers, _DOORS[path]) as submissions:
            began = time.monotonic()
            answer = await self._asking.until_answered("POST", path, papers, key)
            made = await self._accepted(answer, submissions, began)
        if made:
            self._requests.append(_Request(path, papers, key, made))

    async def _repeat(self) -> None:
        if not self._requests:
            return
        request = self._chance.choice(self._requests)
        answer = await self._asking.until_answered(
            "POST", request.path, request.papers, request.key
        )
        removed = [self._book.documents[name].removal != "none" for name in request.made]
        if answer.status == 410 and all(removed):
            return
        if answer.status not in _ACCEPTED or made_by(answer) != request.made:
            what = f"its request was repeated and answered {answer.status}: {answer.text[:200]}"
            self._book.complain("made twice", request.made[0], what)

    async def _bus(self) -> None:
        papers, name = self._papers(1), new_id()
        with self._handing_in(papers, "bus") as (submission,):
            while not await bus_door.publish(self._data, name, papers[0]):  # noqa: ASYNC110
                await asyncio.sleep(PAUSE)  # nobody tells when the bus is back
            self._book.accept(name, submission, time.monotonic())

    async def _delete(self) -> None:
        kept = [one for one in self._book.documents.values() if one.removal == "none"]
        if not kept:
            return
        document = self._chance.choice(self._chance.choice((kept, kept[-_LATEST:])))
        document.removal = "asked"
        answer = await self._asking.until_answered("DELETE", f"/api/documents/{document.name}")
        receipt = answer.json.get("status")
        if answer.status == 404:
            self._book.miss(document.name)
        elif answer.status not in (200, 202) or receipt not in ("cancelled", "deleted"):
            what = f"DELETE was answered {answer.status}: {answer.text[:200]}"
            self._book.complain("answered wrongly", document.name, what)
        elif answer.status == 200:
            document.removal = receipt

    @contextmanager
    def _handing_in(self, papers: tuple[Paper, ...], door: Door) -> Iterator[list[Submission]]:
        self._in_hand += len(papers)
        try:
            yield [self._book.hand_in(paper, door) for paper in papers]
        finally:
            self._in_hand -= len(papers)

    def _heard(self, answer: Answer | None, submissions: list[Submission]) -> None:
        """Note that a request was not answered, or that the service was not able to serve it."""
        if answer is None:
            outcome: Outcome = "unanswered"
        elif answer.status in AWAY:
            outcome = "refused"
            self._book.refusals[f"{answer.status} {answer.json.get('code')}"] += 1
        else:
            return
        for submission in submissions:
            submission.outcome = outcome

    async def _accepted(
        self, answer: Answer, submissions: list[Submission], began: float
    ) -> tuple[str, ...]:
        """Note what was made, and ask for it at once: what was accepted is never unknown."""
        made = made_by(answer) if answer.status in _ACCEPTED else ()
        if len(made) != len(submissions):
            for submission in submissions:
                submission.outcome = "refused"
            what = f"{answer.status} for {len(submissions)} documents: {answer.text[:200]}"
            number = submissions[0].paper.number
            self._book.complain("answered wrongly", f"submission of document {number}", what)
            return ()
        now = time.monotonic()
        for name, submission in zip(made, submissions, strict=True):
            self._book.accept(name, submission, now)
        if answer.status == 202 and "batchId" in answer.json:
            self._book.batches[str(answer.json["batchId"])] = list(made)
        elif answer.status == 200:
            (name,), (submission,) = made, submissions
            fault = submission.paper.fault_of(answer.text)
            if fault is not None:
                self._book.complain("mixed up", name, f"/v1/convert answered that {fault}")
            self._book.see(name, "completed", None, asked_at=began, now=now)
        await ask(self._asking, self._book, made[-1])
        return made


async def ask(asking: Asking, book: Book, name: str) -> None:
    """Ask once how far a document is, and note what is said."""
    began = time.monotonic()
    answer = await asking.once("GET", f"/api/documents/status/{name}")
    if answer is None or answer.status in AWAY:
        return
    if answer.status == 404:
        book.miss(name)
    elif answer.status != 200:
        what = f"its status was answered {answer.status}: {answer.text[:200]}"
        book.complain("answered wrongly", name, what)
    else:
        told = answer.json
        book.see(name, str(told["status"]), told.get("code"), asked_at=began, now=time.monotonic())


def made_by(answer: Answer) -> tuple[str, ...]:
    """Return the ids of the documents a request has made; none where the answer names none."""
    if "X-Document-Id" in answer.headers:
        return (answer.headers["X-Document-Id"],)
    body = answer.json
    if "documents" in body:
        return tuple(str(one["id"]) for one in body["documents"])
    return (str(body["id"]),) if "id" in body else ()
