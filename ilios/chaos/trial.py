"""One trial: the service, its clients, the faults, a quiet time, and the audit."""

import asyncio
import random
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from ilios.blobs.local import LocalBlobs
from ilios.chaos import report as reporting
from ilios.chaos.asking import Asking, asking
from ilios.chaos.crowd import Crowd
from ilios.chaos.faults import Faults, Stalled
from ilios.chaos.judging import judge, strangers
from ilios.chaos.plan import allowed, plan
from ilios.chaos.promises import REMOVED, Book, Violation
from ilios.chaos.reading import Reading, read
from ilios.chaos.report import Report
from ilios.chaos.victims import ServiceProcess
from ilios.chaos.watcher import ask_all, watch
from ilios.database import audit as auditing
from ilios.database.audit import Audit

TELL_EVERY = 5.0  # seconds
LOOK_EVERY = 0.05  # seconds
QUIET_FOR = 4  # times as long as documents may take: what is late is told from what is stuck
READ_WITHIN = 900.0  # seconds for being quiet and reading everything
PAGE = 1000  # blobs looked at in one step


class Trial(Struct, frozen=True, kw_only=True):
    """What is to be done. All must have ended ``within`` so many seconds after the last fault."""

    documents: int
    kills: int
    seed: int
    clients: int = 8
    within: float = 30.0


async def try_out(trial: Trial, service: ServiceProcess, say: Callable[[str], None]) -> Report:
    """Run a trial with a service in an empty directory; no process is left, whatever happens.

    ``say`` is given a line now and then.

    :raises DidNotStart: the service does not start, at first or after a kill.
    :raises Stalled: nothing goes on any more.
    """
    began = time.monotonic()
    book = Book()
    try:
        await service.start()
        say(f"seed {trial.seed}: the service is up, {trial.documents} documents follow")
        async with asking(service) as clients:
            faults = await _disturb(trial, service, clients, book, say)
            reading, now = await _in_peace(
                faults, _quiet_and_read(trial, service, clients, book, faults.last_at, say)
            )
        if (code := await service.stop()) != 0:
            book.complain("ended by itself", "service", f"it stopped with code {code}")
        for process in await service.left_running():
            book.complain("left running", process.partition(" ")[0], process)
        audit = await asyncio.to_thread(_read, _database(service))
        violations = reporting.late_ones(book, faults.last_at, trial.within, now)
        violations += judge(book, reading, audit)
        orphans = await _orphans(service.data / "blobs", audit)
    finally:
        await service.clear_away()
    return _report(
        trial,
        book,
        faults,
        audit,
        violations=violations,
        orphans=orphans,
        elapsed=time.monotonic() - began,
    )


async def _disturb(
    trial: Trial, service: ServiceProcess, clients: Asking, book: Book, say: Callable[[str], None]
) -> Faults:
    """Have clients work and faults happen, until all of both are done."""
    planned = plan(trial.documents, trial.kills, trial.seed)

    def now_allowed() -> int:
        ended = book.ended if faults.wait else 0
        return allowed(trial.documents, len(planned), len(faults.done), ended)

    crowd = Crowd(clients, book, service.data, trial.seed, now_allowed)
    working = asyncio.create_task(crowd.work(trial.clients, trial.documents), name="clients")
    faults = Faults(service, book, working)
    async with _beside(working, _tell(trial, book, faults, say), _watch(trial, clients, book)):
        await faults.carry_out(planned)
        await faults.until(working.done)
        working.result()
    return faults


async def _in_peace(
    faults: Faults, work: Coroutine[object, object, tuple[Reading, float]]
) -> tuple[Reading, float]:
    """Do the work while the service is kept running, for as long as that makes sense."""
    working = asyncio.create_task(work, name="reading")
    keeping = asyncio.create_task(faults.keep_up(), name="keeping up")
    try:
        async with asyncio.timeout(READ_WITHIN):
            await asyncio.wait((working, keeping), return_when=asyncio.FIRST_COMPLETED)
        if keeping.done():
            keeping.result()
        return working.result()
    except TimeoutError:
        raise Stalled(f"not everything could be read within {READ_WITHIN:.0f} s") from None
    finally:
        for task in (working, keeping):
            task.cancel()
        await asyncio.gather(working, keeping, return_exceptions=True)


async def _quiet_and_read(
    trial: Trial,
    service: ServiceProcess,
    clients: Asking,
    book: Book,
    last_at: float | None,
    say: Callable[[str], None],
) -> tuple[Reading, float]:
    """Return what is read when all is quiet, and when it was; ``time.monotonic`` seconds."""
    await _quiet(trial, clients, book, last_at, say)
    now = time.monotonic()
    # Nobody is killed any more, so the database may be opened beside the service.
    landed = strangers(book, await asyncio.to_thread(_read, _database(service)))
    say("all is quiet, everything is read and checked")
    papers = {name: one.paper for name, one in book.documents.items()}
    papers |= {name: one.paper for name, one in landed.items()}
    return await read(clients, papers, book.batches), now


async def _quiet(
    trial: Trial,
    clients: Asking,
    book: Book,
    last_at: float | None,
    say: Callable[[str], None],
) -> None:
    """Wait until everything has ended, for a while longer than it may take."""
    say(f"the faults are over, {len(book.open)} documents are still under way")
    deadline = max(last_at or 0.0, time.monotonic()) + trial.within * QUIET_FOR
    while time.monotonic() < deadline:
        await ask_all(clients, book, [one.name for one in book.open])
        if not book.open and await _batches_closed(clients, book):
            return
        await asyncio.sleep(LOOK_EVERY)


async def _batches_closed(clients: Asking, book: Book) -> bool:
    for name in book.batches:
        answer = await clients.once("GET", f"/v1/batch/status/{name}")
        if answer is None or not answer.json.get("completedAt"):
            return False
    return True


async def _watch(trial: Trial, clients: Asking, book: Book) -> None:
    await watch(clients, book, random.Random(trial.seed))  # noqa: S311  # it chooses whom to ask


async def _tell(trial: Trial, book: Book, faults: Faults, say: Callable[[str], None]) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(TELL_EVERY)
        last = f", the last: {faults.done[-1].fault}" if faults.done else ""
        say(
            f"{time.monotonic() - began:4.0f} s  {len(book.documents)} accepted, {book.ended} "
            f"ended, {faults.kills} of {trial.kills} kills{last}"
        )


@asynccontextmanager
async def _beside(working: "asyncio.Task[None]", *others: object) -> AsyncIterator[None]:
    """Run others while the context is open; nobody goes on afterwards."""
    tasks = [working, *(asyncio.ensure_future(other) for other in others)]  # type: ignore[call-overload]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _database(service: ServiceProcess) -> Path:
    return service.data / "ilios.db"


def _read(database: Path) -> Audit:
    try:
        return auditing.read(database)
    except sqlite3.DatabaseError as error:
        return Audit(documents={}, batches={}, damage=(str(error),))


async def _orphans(root: Path, audit: Audit) -> int:
    """Count the blobs that nobody refers to."""
    referred = {key for row in audit.documents.values() for key in row.keys}
    found, position = 0, None
    async with LocalBlobs.open(root) as blobs:
        while True:
            page, position = await blobs.page("", position, PAGE)
            found += sum(blob.key not in referred for blob in page)
            if position is None:
                return found


def _report(
    trial: Trial,
    book: Book,
    faults: Faults,
    audit: Audit,
    *,
    violations: list[Violation],
    orphans: int,
    elapsed: float,
) -> Report:
    rows = [audit.documents[name] for name in book.documents if name in audit.documents]
    outcomes = Counter(one.outcome for one in book.submissions.values())
    ups = [one.up_after for one in faults.done if one.up_after is not None]
    return Report(
        seed=trial.seed,
        kills=faults.kills,
        pauses=sum(one.fault.how == "pause" for one in faults.done),
        elapsed=elapsed,
        accepted=len(book.documents),
        completed=sum(row.state == "completed" for row in rows),
        failed=dict(Counter(str(row.code) for row in rows if row.state == "failed")),
        removed=sum(row.state in REMOVED for row in rows),
        refused=dict(book.refusals),
        unanswered=outcomes["unanswered"] + outcomes["waiting"],
        landed=reporting.landed(book, audit),
        violations=list(dict.fromkeys(violations)),
        within=trial.within,
        ends_after=reporting.ends_after(book, faults.last_at),
        lasted=reporting.lasted(book),
        up_after=reporting.spread(ups),
        on_after=reporting.on_after(faults.done),
        orphans=orphans,
    )
