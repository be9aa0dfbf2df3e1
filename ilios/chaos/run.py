"""One run: the service, its clients, the faults, the time to settle, and the verification."""

import asyncio
import random
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct

from ilios.chaos import report as reporting
from ilios.chaos.clients import Workload, poll, poll_all
from ilios.chaos.http_client import HttpClient, open_client
from ilios.chaos.plan import KILLS, Fault, FaultInjector, Stalled, max_accepted, plan
from ilios.chaos.processes import IsolatedService
from ilios.chaos.record import RunRecord, Violation
from ilios.chaos.report import Report
from ilios.chaos.verify import Readback, find_violations, read_back, unaccepted_documents
from ilios.database.recovery import audit as auditing
from ilios.database.recovery.audit import Audit
from schemas.states import REMOVED_STATES

PROGRESS_INTERVAL = 5.0  # seconds between lines of progress
POLL_INTERVAL = 0.05  # seconds
SETTLE_FACTOR = 4  # times ``within``: a late document is distinguished from a stuck one
READ_BACK_TIMEOUT = 900.0  # seconds for settling and reading everything
MORE_DOCUMENTS, MORE_ROUNDS = 6, 20
"""Documents of a further round of clients, and the rounds after which they give up."""


class Trial(Struct, frozen=True, kw_only=True):
    """The parameters of a run. All documents must end ``within`` seconds of the last fault.

    With ``hosts`` there are so many of workers, and NATS nodes; ``kills`` are faults of all kinds.
    """

    documents: int
    kills: int
    seed: int
    clients: int = 8
    within: float = 30.0
    hosts: int = 0
    nodes: int = 0


async def run_trial(
    trial: Trial,
    service: IsolatedService,
    notify: Callable[[str], None],
    is_enough: Callable[[], bool] = lambda: True,
    planned: Sequence[Fault] | None = None,
) -> Report:
    """Run a trial with a service in an empty directory; no process is left, whatever happens.

    ``planned`` are the faults, if they are not those of a single service.

    ``notify`` is given a line of progress now and then. While it is not enough, the clients submit
    more than the documents of the trial, a few whenever all others have ended.

    :raises DidNotStart: the service does not start, at first or after a kill.
    :raises Stalled: there is no progress any more.
    """
    began = time.monotonic()
    try:
        await service.start()
        notify(f"seed {trial.seed}: the service is up, {trial.documents} documents follow")
        async with open_client(service) as client:
            run = _Run(trial, service, client, notify, is_enough)
            faults = plan(trial.documents, trial.kills, trial.seed) if planned is None else planned
            injector = await run.inject_faults(faults)
            readback, now = await _with_service_up(injector, run.read_back(injector.last_at))
        record = run.record
        if (code := await service.stop()) != 0:
            record.add_violation("ended by itself", "service", f"it stopped with code {code}")
        for process in service.ended_by_themselves():
            record.add_violation("ended by itself", process, "although it was not killed")
        for line in service.false_alarms():
            record.add_violation("false alarm", "log", line)
        for process in await service.leftover_processes():
            record.add_violation("left running", process.partition(" ")[0], process)
        audit = await _read_audit(service)
        violations = reporting.late_documents(record, injector.last_at, trial.within, now)
        violations += find_violations(record, readback, audit)
        orphans = await _count_orphans(service, audit)
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


class _Run:
    """The part of a trial during which the service is up."""

    def __init__(
        self,
        trial: Trial,
        service: IsolatedService,
        client: HttpClient,
        notify: Callable[[str], None],
        is_enough: Callable[[], bool],
    ) -> None:
        self.record = RunRecord()
        self._wanted = trial.documents
        self._is_enough = is_enough
        self._trial = trial
        self._service = service
        self._client = client
        self._notify = notify

    async def inject_faults(self, planned: Sequence[Fault]) -> FaultInjector:
        """Run the clients and inject the faults, until both are done."""
        trial, record = self._trial, self.record

        def max_accepted_now() -> int:
            ended = record.ended if injector.awaiting_progress else 0
            return max_accepted(self._wanted, len(planned), len(injector.injected), ended)

        workload = Workload(
            self._client, record, self._service.operator_url, trial.seed, max_accepted_now
        )
        working = asyncio.create_task(self._submit(workload), name="clients")
        injector = FaultInjector(self._service, record, working, self._client.activities)
        rng = random.Random(trial.seed)  # noqa: S311  # it chooses which documents are polled
        async with _background(
            working, self._notify_progress(injector, len(planned)), poll(self._client, record, rng)
        ):
            await injector.inject_all(planned)
            await injector.wait_until(working.done)
            working.result()
        return injector

    async def _submit(self, workload: Workload) -> None:
        """Run the clients, for further rounds while it is not enough."""
        await workload.run(self._trial.clients, self._wanted)
        for _ in range(MORE_ROUNDS):
            while self.record.unfinished and not self._is_enough():  # noqa: ASYNC110
                await asyncio.sleep(POLL_INTERVAL)  # it is the polls that see a document end
            if self._is_enough():
                return
            self._wanted = len(self.record.documents) + MORE_DOCUMENTS
            await workload.run(self._trial.clients, self._wanted)

    async def read_back(self, last_at: float | None) -> tuple[Readback, float]:
        """Wait until everything has ended, then read everything; returns also when that was."""
        await self._wait_until_settled(last_at)
        now = time.monotonic()
        # No kills any more, so the database may be opened beside the service.
        unaccepted = unaccepted_documents(self.record, await _read_audit(self._service))
        self._notify("all is quiet, everything is read and checked")
        samples = {name: one.sample for name, one in self.record.documents.items()}
        samples |= {name: one.sample for name, one in unaccepted.items()}
        return await read_back(self._client, samples, self.record.batches), now

    async def _wait_until_settled(self, last_at: float | None) -> None:
        """Wait until everything has ended, for longer than it may take."""
        record = self.record
        self._notify(f"the faults are over, {len(record.unfinished)} documents are still under way")
        deadline = max(last_at or 0.0, time.monotonic()) + self._trial.within * SETTLE_FACTOR
        while time.monotonic() < deadline:
            await poll_all(self._client, record, [one.name for one in record.unfinished])
            if not record.unfinished and await self._batches_closed():
                return
            await asyncio.sleep(POLL_INTERVAL)

    async def _batches_closed(self) -> bool:
        for name in self.record.batches:
            response = await self._client.request("GET", f"/v1/batch/status/{name}")
            if response is None or not response.json.get("completedAt"):
                return False
        # A status is completed with the documents, also before the aggregator records it.
        return all((await _read_audit(self._service)).batches.values())

    async def _notify_progress(self, injector: FaultInjector, faults: int) -> None:
        began, record = time.monotonic(), self.record
        while True:
            await asyncio.sleep(PROGRESS_INTERVAL)
            last = f", the last: {injector.injected[-1].fault}" if injector.injected else ""
            self._notify(
                f"{time.monotonic() - began:4.0f} s  {len(record.documents)} accepted, "
                f"{record.ended} ended, {len(injector.injected)} of {faults} faults{last}"
            )


async def _with_service_up(
    injector: FaultInjector, reading: Coroutine[object, object, tuple[Readback, float]]
) -> tuple[Readback, float]:
    """Read while the service is restarted whenever it ends.

    :raises Stalled: it takes too long.
    """
    work = asyncio.create_task(reading, name="reading")
    restarting = asyncio.create_task(injector.keep_running(), name="restarting")
    try:
        async with asyncio.timeout(READ_BACK_TIMEOUT):
            await asyncio.wait((work, restarting), return_when=asyncio.FIRST_COMPLETED)
        if restarting.done():
            restarting.result()
        return work.result()
    except TimeoutError:
        raise Stalled(f"not everything could be read within {READ_BACK_TIMEOUT:.0f} s") from None
    finally:
        for task in (work, restarting):
            task.cancel()
        await asyncio.gather(work, restarting, return_exceptions=True)


@asynccontextmanager
async def _background(
    *work: "asyncio.Task[None] | Coroutine[None, None, None]",
) -> AsyncIterator[None]:
    """Run tasks while the context is open; none goes on afterwards."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read_audit(service: IsolatedService) -> Audit:
    try:
        return await asyncio.to_thread(auditing.read_audit, service.data / "ilios.db")
    except sqlite3.DatabaseError as error:
        return Audit(documents={}, batches={}, damage=(str(error),))


async def _count_orphans(service: IsolatedService, audit: Audit) -> int:
    """Count the blobs that no row refers to."""
    referred = {key for row in audit.documents.values() for key in row.keys}
    return len([key async for key in service.blob_keys() if key not in referred])


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
        others=sum(one.fault.action not in ("pause", *KILLS) for one in injector.injected),
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
