"""The children of the local engine: warm, bounded in number, replaced when they are lost."""

import asyncio
import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from actors.engines import EngineCrashed, SourceFile, Unconvertible
from ilios.engines.local import exit_status
from ilios.engines.local.fair_semaphore import FairSemaphore
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.process import ChildProcess, LostBeforeStart, StartFailed, TaskResult
from ilios.engines.local.profiles import Profile
from ilios.engines.local.protocol import Converted, Counted, CountPages, Outcome, Refused, Task
from ilios.engines.local.scratch import ScratchDir
from ilios.engines.local.self_test import SelfTest
from ilios.engines.local.work_timer import WorkTimer
from ilios.runtime.restarts import WINDOW, RestartHistory

MAX_LOST_CHILDREN = 3
"""How many children may be lost before they touch the document until we give up on this attempt."""

FIRST_PAUSE = 0.1  # seconds before a child is started after one that did not come up
LONGEST_PAUSE = 5.0  # seconds between such starts
TOLERATED_LOSSES = 2
"""Children a minute may take from outside without the engine being unwell."""

log = structlog.get_logger(__name__)


class PoolClosed(EngineCrashed):
    """The engine has stopped or is stopping."""

    def __init__(self) -> None:
        super().__init__("the engine is stopping", document_blamed=False)


class Pool:
    """At most ``limits.processes`` children and two extra ones; each has one document at a time.

    The extra ones are for urgent documents, and for tenants that have none at work (``Slots``).
    Children start when they are needed and stay. A child goes back to the idle ones only after it
    has answered; whatever else happens to a document (timeout, death, cancellation), its child is
    killed and the slot is free again. A child that dies idle is noticed and buried by itself.

    A worn child serves on until its successor is up and has loaded what it had loaded, so that no
    document waits for that; one that could fail the next document goes while its successor comes.
    """

    def __init__(self, limits: EngineLimits, staging_dir: Path | None = None) -> None:
        self._limits = limits
        self._slots = FairSemaphore(limits.processes, self._check_timers)
        self._timers: set[WorkTimer] = set()
        self._spare: asyncio.Task[None] | None = None
        self._idle: list[ChildProcess] = []
        self._alive: set[ChildProcess] = set()
        self._replacements: dict[ChildProcess, asyncio.Task[None]] = {}
        self._staging_parent = staging_dir
        self._scratch_dirs: list[ScratchDir] = []
        self._self_test = SelfTest(limits)
        self.sandbox_gaps: tuple[str, ...] = ()
        self._closed = False
        self._recent_losses: dict[
            tuple[str, str], float
        ] = {}  # documents, and when their child was lost
        self._retry_at = 0.0
        self._start_failure = ""
        self.restarts = RestartHistory(FIRST_PAUSE, LONGEST_PAUSE, tolerated_exits=TOLERATED_LOSSES)

    @property
    def pids(self) -> frozenset[int]:
        """The process ids of the children that are not yet buried."""
        return frozenset(child.pid for child in self._alive)

    async def run(
        self, document: SourceFile, task: Task, progress: Callable[[int, int], None] | None
    ) -> TaskResult:
        """Have something done with a document by the next free child.

        :raises Unconvertible: it took too long or needed too much memory.
        :raises EngineCrashed: its child died, or none can be started.
        """
        async with self._slots.slot(urgent=document.urgent, tenant=document.tenant):
            for _ in range(MAX_LOST_CHILDREN):
                if self._closed:
                    raise PoolClosed
                try:
                    return await self._attempt(document, task, progress)
                except LostBeforeStart:
                    continue
        raise EngineCrashed("conversion processes keep being killed", document_blamed=False)

    async def check(self) -> None:
        """Make sure that a child can work, by starting one if none is there.

        :raises EngineCrashed: none can be started.
        """
        if self._slots.full:
            return  # all of them are at work
        if self._start_failure and time.monotonic() < self._retry_at:
            raise EngineCrashed(self._start_failure, document_blamed=False)
        async with self._slots.slot():
            child = await self._acquire_child()
            self._idle.append(child)

    async def close(self) -> None:
        """Kill all children and wait until they are gone. Documents in work end in PoolClosed."""
        self._closed = True
        successions = [*self._replacements.values(), *filter(None, [self._spare])]
        for succession in successions:
            succession.cancel()
        await asyncio.gather(*successions, return_exceptions=True)
        for child in self._alive:
            child.kill()
        # Every slot free means nobody is left who might still be starting a child.
        await self._slots.wait_idle()
        await asyncio.gather(*(child.reaped for child in self._alive))
        while self._scratch_dirs:
            self._scratch_dirs.pop().close()

    async def _attempt(
        self, document: SourceFile, task: Task, progress: Callable[[int, int], None] | None
    ) -> TaskResult:
        child = await self._acquire_child()
        try:
            done = await self._run_task(child, document, task, progress)
            if done.recount_pages and isinstance(done.outcome, Converted):
                await self._recount_pages(document, len(done.outcome.pages))
        except BaseException:
            # Also when cancelled: the child is still at work, and its answer would be taken for
            # that to the next request.
            child.kill()
            raise
        self._release_child(child, done.outcome)
        return done

    async def _run_task(
        self,
        child: ChildProcess,
        document: SourceFile,
        task: Task,
        progress: Callable[[int, int], None] | None,
    ) -> TaskResult:
        # Both are set by the turn, which knows what does not count.
        deadline, page = asyncio.timeout(None), asyncio.timeout(None)
        try:
            async with deadline, page:
                with self._timed(child, document, deadline, page) as timer:
                    return await child.run(document, task, progress, timer.heartbeat)
        except TimeoutError:
            if page.expired():
                reason = exit_status.PAGE_TIMEOUT.format(seconds=self._limits.page_seconds)
                raise Unconvertible("timeout", reason) from None
            if not deadline.expired():
                raise
            raise Unconvertible("timeout", exit_status.TIMEOUT) from None
        except EngineCrashed as crash:
            if self._closed:
                raise PoolClosed from crash
            log.warning(
                "engine.child_lost", pid=child.pid, reason=crash.reason, blame=crash.document_blamed
            )
            self._record_loss(document, crash)
            raise

    async def _recount_pages(self, document: SourceFile, claimed: int) -> None:
        """Have the pages of a PDF counted by a child that has seen no other document.

        Where it cannot count them, as in a damaged file, the claim stands.

        :raises EngineCrashed: there are not as many as was claimed.
        """
        try:
            child = await self._start()
        except (LostBeforeStart, StartFailed):
            return
        try:
            counted = (await self._run_task(child, document, CountPages(), None)).outcome
        except (EngineCrashed, LostBeforeStart, Unconvertible):
            return
        finally:
            child.kill()
        if isinstance(counted, Counted) and counted.pages != claimed:
            reason = f"the conversion process claimed {claimed} pages of {counted.pages}"
            log.warning("engine.false_claim", reason=reason)
            raise EngineCrashed(reason, document_blamed=True)

    @contextmanager
    def _timed(
        self,
        child: ChildProcess,
        document: SourceFile,
        deadline: asyncio.Timeout,
        page: asyncio.Timeout,
    ) -> Iterator[WorkTimer]:
        def ensure_spare() -> None:
            self._ensure_spare(document.content_type)

        with WorkTimer(child, self._slots, self._limits, deadline, page, ensure_spare) as timer:
            self._timers.add(timer)
            try:
                yield timer
            finally:
                self._timers.discard(timer)

    def _check_timers(self) -> None:
        """Have those that are at it for long stand back at once, while the next child starts."""
        for timer in list(self._timers):
            timer.check()

    def _ensure_spare(self, content_type: str) -> None:
        """Start a child ahead for whom a further place is kept, while long documents hold all."""
        idle = any(child.usable for child in self._idle)
        if self._slots.full and not (
            idle or self._spare or self._slots.oversubscribed or self._closed
        ):
            spare = self._start_spare(content_type)
            self._spare = asyncio.create_task(spare, name="start spare child")

    async def _start_spare(self, content_type: str) -> None:
        try:
            child = await self._spawn()
            try:
                await child.prepare([content_type], load_ocr=False)
            except BaseException:
                child.kill()
                raise
        except (LostBeforeStart, EngineCrashed, ConnectionError) as error:
            log.warning("engine.no_spare", reason=str(error))
        else:
            self._idle.append(child)
        finally:
            self._spare = None

    def _record_loss(self, document: SourceFile, crash: EngineCrashed) -> None:
        """Count a loss for health, once for each document: one that kills children harms no other.

        Whether children can be started at all is noted where they are.
        """
        now = time.monotonic()
        name = (document.tenant, document.document_id or str(document.path))
        for other in [other for other, at in self._recent_losses.items() if now - at > WINDOW]:
            del self._recent_losses[other]
        if crash.document_blamed or crash.out_of_memory or name in self._recent_losses:
            return
        self._recent_losses[name] = now
        self.restarts.record_exit(crash.reason)
        self.restarts.record_start()  # its place is free again; the next to come up takes it

    async def _acquire_child(self) -> ChildProcess:
        while True:
            while self._idle:
                # The last one back is the one with warm caches; the others may stay swapped out.
                child = self._idle.pop()
                if child.usable:
                    return child
            pending = [task for worn, task in self._replacements.items() if worn.killed]
            if self._spare is not None:
                pending.append(self._spare)
            if not pending:
                return await self._spawn()
            await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)

    async def _spawn(self) -> ChildProcess:
        await asyncio.sleep(self._retry_at - time.monotonic())
        try:
            child = await self._start()
        except (LostBeforeStart, StartFailed) as error:
            if not self._closed:
                self._start_failure = getattr(error, "reason", "")
                why = self._start_failure or "conversion processes are killed before they are up"
                self._retry_at = time.monotonic() + self.restarts.record_exit(why)
            raise
        self._start_failure = ""
        self.restarts.record_start()
        if self._closed:
            child.kill()
            raise PoolClosed
        return child

    async def _start(self) -> ChildProcess:
        child = await self._start_with_profile(
            await self._self_test.profile(self._start_with_profile)
        )
        if child.sandbox_gaps != self.sandbox_gaps:
            self.sandbox_gaps = child.sandbox_gaps
            for what in child.sandbox_gaps:
                log.warning("engine.exposed", what=what)
        return child

    async def _start_with_profile(self, profile: Profile) -> ChildProcess:
        try:
            child = await ChildProcess.spawn(self._limits, *self._make_child_dirs(), profile)
        except OSError as error:  # no memory, no process ids, no room: not the document's fault
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise StartFailed(str(error), full=full) from error
        self._alive.add(child)
        child.reaped.add_done_callback(lambda _: self._alive.discard(child))
        try:
            await child.wait_ready()
        except BaseException:
            child.kill()
            raise
        return child

    def _make_child_dirs(self) -> tuple[Path, Path]:
        """Make two directories for one child: to write in, and to be given documents in."""
        if not self._scratch_dirs:
            self._scratch_dirs.append(ScratchDir())
            if self._staging_parent is not None:
                self._scratch_dirs.append(ScratchDir(self._staging_parent))
        return self._scratch_dirs[0].new(), self._scratch_dirs[-1].new()

    def _release_child(self, child: ChildProcess, answer: Outcome) -> None:
        # What holds so much, or is left of a heap that ran full, would fail the next document.
        unhealthy = (
            answer.wear.resident_bytes > self._limits.recycle_above_bytes
            or answer.wear.cramped
            or (isinstance(answer, Refused) and answer.code == "out_of_memory")
        )
        surplus = len(self._idle) >= self._limits.processes
        if unhealthy or child.replaced or surplus or self._closed:
            child.kill()
        elif child.usable:
            self._idle.append(child)
        # One that had to stand back and cannot be put forward again would be slow for good.
        due = (
            unhealthy or child.low_priority or child.served >= self._limits.recycle_after_documents
        )
        if due and not (child.replaced or surplus or self._closed or child in self._replacements):
            succession = asyncio.create_task(self._replace(child), name=f"succeed {child.pid}")
            self._replacements[child] = succession
            succession.add_done_callback(lambda _: self._replacements.pop(child, None))

    async def _replace(self, retiring: ChildProcess) -> None:
        """Put a child in the place of a worn one, which goes as soon as it has nothing in hand."""
        try:
            child = await self._start()
        except (LostBeforeStart, StartFailed) as error:
            log.warning("engine.not_succeeded", pid=retiring.pid, reason=str(error))
            return  # it serves on, and the next document tries again
        try:
            await child.prepare(retiring.content_types, load_ocr=retiring.used_ocr)
        except (LostBeforeStart, StartFailed, ConnectionError) as error:
            log.warning("engine.not_succeeded", pid=retiring.pid, reason=str(error))
            child.kill()
            return
        except BaseException:
            child.kill()
            raise
        retiring.replaced = True
        if retiring in self._idle:
            self._idle.remove(retiring)
            retiring.kill()
        self._idle.append(child)
