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
from ilios.chaos.clients import Workload
from ilios.chaos.expectations import REMOVED_STATES, RunRecord, Violation
from ilios.chaos.http_client import HttpClient, open_client
from ilios.chaos.injection import FaultInjector, Stalled
from ilios.chaos.plan import max_accepted, plan
from ilios.chaos.poller import poll, poll_all
from ilios.chaos.processes import ServiceProcess
from ilios.chaos.readback import Readback, read_back
from ilios.chaos.report import Report
from ilios.chaos.verify import find_violations, unaccepted_documents
from ilios.database.recovery import audit as auditing
from ilios.database.recovery.audit import Audit

PROGRESS_EVERY = 5.0  # seconds
LOOK_EVERY = 0.05  # seconds
SETTLE_FACTOR = 4  # times as long as documents may take: what is late is told from what is stuck
READ_BACK_TIMEOUT = 900.0  # seconds for being quiet and reading everything
PAGE = 1000  # blobs looked at in one step


class Trial(Struct, frozen=True, kw_only=True):
    """What is to be done. All must have ended ``within`` so many seconds after the last fault."""

    documents: int
    kills: int
    seed: int
    clients: int = 8
    within: float = 30.0


async def run_trial(trial: Trial, service: ServiceProcess, notify: Callable[[str], None]) -> Report:
    """Run a trial with a service in an empty directory; no process is left, whatever happens.

    ``say`` is given a line now and then.

    :raises DidNotStart: the service does not start, at first or after a kill.
    :raises Stalled: nothing goes on any more.
    """
    began = time.monotonic()
    record = RunRecord()
    try:
        await service.start()
        notify(f"seed {trial.seed}: the service is up, {trial.documents} documents follow")
        async with open_client(service) as client:
            injector = await _run_workload(trial, service, client, record, notify)
            readback, now = await _with_service_up(
                injector,
                _settle_and_read_back(trial, service, client, record, injector.last_at, notify),
            )
        if (code := await service.stop()) != 0:
            record.add_violation("ended by itself", "service", f"it stopped with code {code}")
        for process in await service.leftover_processes():
            record.add_violation("left running", process.partition(" ")[0], process)
        audit = await asyncio.to_thread(_read_audit, _database(service))
        violations = reporting.late_documents(record, injector.last_at, trial.within, now)
        violations += find_violations(record, readback, audit)
        orphans = await _orphans(service.data / "blobs", audit)
    finally:
        await service.kill_leftovers()
    return _report(
        trial,
        record,
        injector,
        audit,
        violations=violations,
        orphans=orphans,
        elapsed=time.monotonic() - began,
    )


async def _run_workload(
    trial: Trial,
    service: ServiceProcess,
    client: HttpClient,
    record: RunRecord,
    notify: Callable[[str], None],
) -> FaultInjector:
    """Have clients work and faults happen, until all of both are done."""
    planned = plan(trial.documents, trial.kills, trial.seed)

    def max_accepted_now() -> int:
        ended = record.ended if injector.awaiting_progress else 0
        return max_accepted(trial.documents, len(planned), len(injector.injected), ended)

    workload = Workload(client, record, service.data, trial.seed, max_accepted_now)
    working = asyncio.create_task(workload.run(trial.clients, trial.documents), name="clients")
    injector = FaultInjector(service, record, working)
    async with _running_alongside(
        working, _notify_progress(trial, record, injector, notify), _poll(trial, client, record)
    ):
        await injector.inject_all(planned)
        await injector.wait_until(working.done)
        working.result()
    return injector


async def _with_service_up(
    injector: FaultInjector, work: Coroutine[object, object, tuple[Readback, float]]
) -> tuple[Readback, float]:
    """Do the work while the service is kept running, for as long as that makes sense."""
    working = asyncio.create_task(work, name="reading")
    keeping = asyncio.create_task(injector.keep_running(), name="keeping up")
    try:
        async with asyncio.timeout(READ_BACK_TIMEOUT):
            await asyncio.wait((working, keeping), return_when=asyncio.FIRST_COMPLETED)
        if keeping.done():
            keeping.result()
        return working.result()
    except TimeoutError:
        raise Stalled(f"not everything could be read within {READ_BACK_TIMEOUT:.0f} s") from None
    finally:
        for task in (working, keeping):
            task.cancel()
        await asyncio.gather(working, keeping, return_exceptions=True)


async def _settle_and_read_back(
    trial: Trial,
    service: ServiceProcess,
    client: HttpClient,
    record: RunRecord,
    last_at: float | None,
    notify: Callable[[str], None],
) -> tuple[Readback, float]:
    """Return what is read when all is quiet, and when it was; ``time.monotonic`` seconds."""
    await _wait_until_settled(trial, client, record, last_at, notify)
    now = time.monotonic()
    # Nobody is killed any more, so the database may be opened beside the service.
    unaccepted = unaccepted_documents(
        record, await asyncio.to_thread(_read_audit, _database(service))
    )
    notify("all is quiet, everything is read and checked")
    samples = {name: one.sample for name, one in record.documents.items()}
    samples |= {name: one.sample for name, one in unaccepted.items()}
    return await read_back(client, samples, record.batches), now


async def _wait_until_settled(
    trial: Trial,
    client: HttpClient,
    record: RunRecord,
    last_at: float | None,
    notify: Callable[[str], None],
) -> None:
    """Wait until everything has ended, for a while longer than it may take."""
    notify(f"the faults are over, {len(record.unfinished)} documents are still under way")
    deadline = max(last_at or 0.0, time.monotonic()) + trial.within * SETTLE_FACTOR
    while time.monotonic() < deadline:
        await poll_all(client, record, [one.name for one in record.unfinished])
        if not record.unfinished and await _batches_closed(client, record):
            return
        await asyncio.sleep(LOOK_EVERY)


async def _batches_closed(client: HttpClient, record: RunRecord) -> bool:
    for name in record.batches:
        answer = await client.request("GET", f"/v1/batch/status/{name}")
        if answer is None or not answer.json.get("completedAt"):
            return False
    return True


async def _poll(trial: Trial, client: HttpClient, record: RunRecord) -> None:
    await poll(client, record, random.Random(trial.seed))  # noqa: S311  # it chooses whom to ask


async def _notify_progress(
    trial: Trial, record: RunRecord, injector: FaultInjector, notify: Callable[[str], None]
) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(PROGRESS_EVERY)
        last = f", the last: {injector.injected[-1].fault}" if injector.injected else ""
        notify(
            f"{time.monotonic() - began:4.0f} s  {len(record.documents)} accepted, {record.ended} "
            f"ended, {injector.kills} of {trial.kills} kills{last}"
        )


@asynccontextmanager
async def _running_alongside(working: "asyncio.Task[None]", *others: object) -> AsyncIterator[None]:
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


def _read_audit(database: Path) -> Audit:
    try:
        return auditing.read_audit(database)
    except sqlite3.DatabaseError as error:
        return Audit(documents={}, batches={}, damage=(str(error),))


async def _orphans(root: Path, audit: Audit) -> int:
    """Count the blobs that nobody refers to."""
    referred = {key for row in audit.documents.values() for key in row.keys}
    found, position = 0, None
    async with LocalBlobs.open(root) as blobs:
        while True:
            page, position = await blobs.list_page("", position, PAGE)
            found += sum(blob.key not in referred for blob in page)
            if position is None:
                return found


def _report(
    trial: Trial,
    record: RunRecord,
    injector: FaultInjector,
    audit: Audit,
    *,
    violations: list[Violation],
    orphans: int,
    elapsed: float,
) -> Report:
    rows = [audit.documents[name] for name in record.documents if name in audit.documents]
    outcomes = Counter(one.outcome for one in record.submissions.values())
    ups = [one.restarted_after for one in injector.injected if one.restarted_after is not None]
    return Report(
        seed=trial.seed,
        kills=injector.kills,
        pauses=sum(one.fault.action == "pause" for one in injector.injected),
        elapsed=elapsed,
        accepted=len(record.documents),
        completed=sum(row.state == "completed" for row in rows),
        failed=dict(Counter(str(row.code) for row in rows if row.state == "failed")),
        removed=sum(row.state in REMOVED_STATES for row in rows),
        refused=dict(record.refusals),
        unanswered=outcomes["unanswered"] + outcomes["waiting"],
        landed=reporting.landed(record, audit),
        violations=list(dict.fromkeys(violations)),
        within=trial.within,
        ends_after=reporting.ends_after(record, injector.last_at),
        lasted=reporting.lasted(record),
        up_after=reporting.percentiles(ups),
        on_after=reporting.on_after(injector.injected),
        orphans=orphans,
    )
