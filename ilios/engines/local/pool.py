"""The pool of child processes of the local engine."""

import asyncio
import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import structlog

from actors.content_types import OLD_OFFICE
from actors.engines import EngineCrashed, SourceFile, Unconvertible
from ilios.engines.converters.old_office import convert as old_office
from ilios.engines.local import exit_status
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.process import ChildProcess, LostBeforeStart, StartFailed, TaskResult
from ilios.engines.local.protocol import (
    Converted,
    Counted,
    CountPages,
    Outcome,
    Refused,
    Task,
    ToMarkdown,
)
from ilios.engines.local.self_test import SelfTest
from ilios.engines.local.staging import ScratchDir
from ilios.engines.local.work_timer import WorkTimer
from ilios.engines.pages import selected_count
from ilios.engines.sandbox.profiles import OFFICE, Profile
from ilios.runtime.fair_semaphore import FairSemaphore
from ilios.runtime.restarts import WINDOW, RestartHistory

MAX_LOST_CHILDREN = 3
"""Children lost before they began with a document, after which the attempt fails."""

FIRST_PAUSE = 0.1  # seconds until the next start after a failed one
LONGEST_PAUSE = 5.0  # seconds between starts that fail
TOLERATED_LOSSES = 2
"""Children that may be killed from outside per minute before health reports it."""

log = structlog.get_logger(__name__)


class PoolClosed(EngineCrashed):
    """The engine has stopped or is stopping."""

    def __init__(self) -> None:
        super().__init__("the engine is stopping", document_blamed=False)


class Pool:
    """At most ``limits.processes`` children and two extra ones, with one document each.

    The extra ones are for urgent documents and for tenants without a document at work (see
    ``FairSemaphore``). Children start when they are needed and stay. A child becomes idle only
    after it has answered; in all other cases (timeout, death, cancellation) it is killed and its
    slot is free again. A child that dies idle reaps itself.

    A retiring child serves until its replacement is up and has loaded the same converters, so
    that no document waits for that; one that could fail the next document is killed at once.
    """

    def __init__(self, limits: EngineLimits, staging_dir: Path | None = None) -> None:
        self._limits = limits
        self._slots = FairSemaphore(limits.processes, on_oversubscribed=self._check_timers)
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
        self._recent_losses: dict[tuple[str, str], float] = {}  # documents, and times of loss
        self._retry_at = 0.0
        self._start_failure = ""
        self.restarts = RestartHistory(FIRST_PAUSE, LONGEST_PAUSE, tolerated_exits=TOLERATED_LOSSES)

    @property
    def pids(self) -> frozenset[int]:
        """Process ids of the children that are not yet reaped."""
        return frozenset(child.pid for child in self._alive)

    async def run(
        self, document: SourceFile, task: Task, progress: Callable[[int, int], None] | None
    ) -> TaskResult:
        """Run a task on a document in the next free child.

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
        """Make sure that a child can work: start one if there is none.

        :raises EngineCrashed: none can be started.
        """
        if self._slots.full:
            return  # all children are at work
        if self._start_failure and time.monotonic() < self._retry_at:
            raise EngineCrashed(self._start_failure, document_blamed=False)
        async with self._slots.slot():
            child = await self._acquire_child()
            self._idle.append(child)

    async def close(self) -> None:
        """Kill all children and wait for their end; documents at work fail with PoolClosed."""
        self._closed = True
        starting = [*self._replacements.values(), *filter(None, [self._spare])]
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)
        for child in self._alive:
            child.kill()
        # Only then can no document start a child any more.
        await self._slots.wait_idle()
        await asyncio.gather(*(child.reaped for child in self._alive))
        while self._scratch_dirs:
            self._scratch_dirs.pop().close()

    async def _attempt(
        self, document: SourceFile, task: Task, progress: Callable[[int, int], None] | None
    ) -> TaskResult:
        if document.content_type in OLD_OFFICE:
            return await self._run_alone(document, task, progress)
        child = await self._acquire_child()
        try:
            done = await self._run_task(child, document, task, progress)
            if done.recount_pages and isinstance(done.outcome, Converted):
                await self._recount_pages(document, task, done.outcome.selected)
        except BaseException:
            # Also when cancelled: the child is still at work, and its answer would be taken for the
            # one to the next request.
            child.kill()
            raise
        self._release_child(child, done.outcome)
        return done

    async def _run_alone(
        self, document: SourceFile, task: Task, progress: Callable[[int, int], None] | None
    ) -> TaskResult:
        """Run a task in a child that serves no other document, as LibreOffice stays in it.

        :raises Unconvertible: there is no LibreOffice, or no sandbox for it.
        """
        old_office.check_available(document.content_type, self._limits)
        child = await self._start_with_profile(OFFICE)
        try:
            return await self._run_task(child, document, task, progress)
        finally:
            child.kill()

    async def _run_task(
        self,
        child: ChildProcess,
        document: SourceFile,
        task: Task,
        progress: Callable[[int, int], None] | None,
    ) -> TaskResult:
        # Both are set by the timer, which excludes the time in which the engine is shared.
        deadline, page = asyncio.timeout(None), asyncio.timeout(None)
        try:
            async with deadline, page:
                with self._timed(child, document, deadline, page) as timer:
                    done = await child.run(document, task, progress, timer.heartbeat)
                    return msgspec.structs.replace(done, budgeted=timer.unshared(done.seconds))
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
                "child process lost",
                pid=child.pid,
                reason=crash.reason,
                document_blamed=crash.document_blamed,
            )
            self._record_loss(document, crash)
            raise

    async def _recount_pages(self, document: SourceFile, task: Task, claimed: int) -> None:
        """Count the pages of a PDF in a child that has seen no other document.

        Where they cannot be counted, as in a damaged file, the claim is accepted.

        :raises EngineCrashed: another number of pages was claimed.
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
        if not isinstance(counted, Counted):
            return
        expected = counted.pages
        if isinstance(task, ToMarkdown):
            expected = selected_count(task.ranges, counted.pages)
        if expected != claimed:
            reason = f"the conversion process claimed {claimed} pages of {expected}"
            log.warning("wrong page count claimed", reason=reason)
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
        """Lower the priority of long conversions at once, while the next child starts."""
        for timer in list(self._timers):
            timer.check()

    def _ensure_spare(self, content_type: str) -> None:
        """Start a child for the extra slots while long documents hold all others."""
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
            log.warning("spare child not started", reason=str(error))
        else:
            self._idle.append(child)
        finally:
            self._spare = None

    def _record_loss(self, document: SourceFile, crash: EngineCrashed) -> None:
        """Count a loss for health, once for each document: one that kills children harms no other.

        Failed starts are counted in ``_spawn``.
        """
        now = time.monotonic()
        name = (document.tenant, document.document_id or str(document.path))
        for other in [other for other, at in self._recent_losses.items() if now - at > WINDOW]:
            del self._recent_losses[other]
        if crash.document_blamed or crash.out_of_memory or name in self._recent_losses:
            return
        self._recent_losses[name] = now
        self.restarts.record_exit(crash.reason)
        self.restarts.record_start()  # the next child replaces it

    async def _acquire_child(self) -> ChildProcess:
        while True:
            while self._idle:
                # The last one has warm caches; the others may stay swapped out.
                child = self._idle.pop()
                if child.usable:
                    return child
            pending = [task for child, task in self._replacements.items() if child.killed]
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
                log.warning("sandbox incomplete", what=what)
        return child

    async def _start_with_profile(self, profile: Profile) -> ChildProcess:
        try:
            child = await ChildProcess.spawn(self._limits, *self._make_child_dirs(), profile)
        except OSError as error:  # no memory, process ids or disk space: not the document's fault
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
        """Make two directories for one child: to write in, and for its documents."""
        if not self._scratch_dirs:
            self._scratch_dirs.append(ScratchDir())
            if self._staging_parent is not None:
                self._scratch_dirs.append(ScratchDir(self._staging_parent))
        return self._scratch_dirs[0].new(), self._scratch_dirs[-1].new()

    def _release_child(self, child: ChildProcess, answer: Outcome) -> None:
        # A child with so much memory, or after a heap overflow, would fail the next document. A
        # password must not be in reach of another one, which may take the child over.
        unhealthy = (
            answer.wear.resident_bytes > self._limits.recycle_above_bytes
            or answer.wear.cramped
            or child.knows_password
            or (isinstance(answer, Refused) and answer.code == "out_of_memory")
        )
        surplus = len(self._idle) >= self._limits.processes
        if unhealthy or child.replaced or surplus or self._closed:
            child.kill()
        elif child.usable:
            self._idle.append(child)
        # Without the privilege to restore its priority a child would stay slow.
        due = (
            unhealthy or child.low_priority or child.served >= self._limits.recycle_after_documents
        )
        if due and not (child.replaced or surplus or self._closed or child in self._replacements):
            replacement = asyncio.create_task(self._replace(child), name=f"replace {child.pid}")
            self._replacements[child] = replacement
            replacement.add_done_callback(lambda _: self._replacements.pop(child, None))

    async def _replace(self, retiring: ChildProcess) -> None:
        """Start the replacement of a child, which is killed as soon as it is idle."""
        try:
            child = await self._start()
        except (LostBeforeStart, StartFailed) as error:
            log.warning("child not replaced", pid=retiring.pid, reason=str(error))
            return  # it serves on, and is due again after the next document
        try:
            await child.prepare(retiring.content_types, load_ocr=retiring.used_ocr)
        except (LostBeforeStart, StartFailed, ConnectionError) as error:
            log.warning("child not replaced", pid=retiring.pid, reason=str(error))
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
