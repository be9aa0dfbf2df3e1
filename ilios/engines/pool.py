"""The children of the local engine: warm, bounded in number, replaced when they are lost."""

import asyncio
import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from actors.engines import EngineCrashed, SourceFile, Unconvertible
from ilios.engines import deaths
from ilios.engines.limits import EngineLimits
from ilios.engines.process import ChildProcess, Done, LostBeforeStart, NotStarting
from ilios.engines.profiles import Profile
from ilios.engines.protocol import Converted, Counted, CountPages, Outcome, Refused, Task
from ilios.engines.scratch import Room
from ilios.engines.self_test import SelfTest
from ilios.engines.slots import Slots
from ilios.engines.turn import Turn
from ilios.restarts import COUNTED, Restarts

CHILDREN_PER_DOCUMENT = 3
"""How many children may be lost before they touch the document until we give up on this attempt."""

FIRST_PAUSE = 0.1  # seconds before a child is started after one that did not come up
LONGEST_PAUSE = 5.0  # seconds between such starts
LOST_AS_A_MATTER_OF_COURSE = 2
"""Children a minute may take from outside without the engine being unwell."""

log = structlog.get_logger(__name__)


class PoolClosed(EngineCrashed):
    """The engine has stopped or is stopping."""

    def __init__(self) -> None:
        super().__init__("the engine is stopping", blame=False)


class Pool:
    """At most ``limits.processes`` children and two extra ones; each has one document at a time.

    The extra ones are for urgent documents, and for tenants that have none at work (``Slots``).
    Children start when they are needed and stay. A child goes back to the idle ones only after it
    has answered; whatever else happens to a document (timeout, death, cancellation), its child is
    killed and the slot is free again. A child that dies idle is noticed and buried by itself.

    A worn child serves on until its successor is up and has loaded what it had loaded, so that no
    document waits for that; one that could fail the next document goes while its successor comes.
    """

    def __init__(self, limits: EngineLimits, handover: Path | None = None) -> None:
        self._limits = limits
        self._slots = Slots(limits.processes, self._make_way)
        self._turns: set[Turn] = set()
        self._spare: asyncio.Task[None] | None = None
        self._idle: list[ChildProcess] = []
        self._alive: set[ChildProcess] = set()
        self._successions: dict[ChildProcess, asyncio.Task[None]] = {}
        self._handover = handover
        self._rooms: list[Room] = []
        self._self_test = SelfTest(limits)
        self.exposed: tuple[str, ...] = ()
        self._closed = False
        self._lost: dict[tuple[str, str], float] = {}  # documents, and when their child was lost
        self._not_before = 0.0
        self._not_starting = ""
        self.restarts = Restarts(FIRST_PAUSE, LONGEST_PAUSE, tolerated=LOST_AS_A_MATTER_OF_COURSE)

    @property
    def pids(self) -> frozenset[int]:
        """The process ids of the children that are not yet buried."""
        return frozenset(child.pid for child in self._alive)

    async def run(
        self, document: SourceFile, task: Task, progress: Callable[[int, int], None] | None
    ) -> Done:
        """Have something done with a document by the next free child.

        :raises Unconvertible: it took too long or needed too much memory.
        :raises EngineCrashed: its child died, or none can be started.
        """
        async with self._slots.taken(urgent=document.urgent, tenant=document.tenant):
            for _ in range(CHILDREN_PER_DOCUMENT):
                if self._closed:
                    raise PoolClosed
                try:
                    return await self._attempt(document, task, progress)
                except LostBeforeStart:
                    continue
        raise EngineCrashed("conversion processes keep being killed", blame=False)

    async def check(self) -> None:
        """Make sure that a child can work, by starting one if none is there.

        :raises EngineCrashed: none can be started.
        """
        if self._slots.full:
            return  # all of them are at work
        if self._not_starting and time.monotonic() < self._not_before:
            raise EngineCrashed(self._not_starting, blame=False)
        async with self._slots.taken():
            child = await self._take()
            self._idle.append(child)

    async def close(self) -> None:
        """Kill all children and wait until they are gone. Documents in work end in PoolClosed."""
        self._closed = True
        successions = [*self._successions.values(), *filter(None, [self._spare])]
        for succession in successions:
            succession.cancel()
        await asyncio.gather(*successions, return_exceptions=True)
        for child in self._alive:
            child.kill()
        # Every slot free means nobody is left who might still be starting a child.
        await self._slots.emptied()
        await asyncio.gather(*(child.buried for child in self._alive))
        while self._rooms:
            self._rooms.pop().close()

    async def _attempt(
        self, document: SourceFile, task: Task, progress: Callable[[int, int], None] | None
    ) -> Done:
        child = await self._take()
        try:
            done = await self._ask(child, document, task, progress)
            if done.doubtful and isinstance(done.outcome, Converted):
                await self._count_again(document, len(done.outcome.pages))
        except BaseException:
            # Also when cancelled: the child is still at work, and its answer would be taken for
            # that to the next request.
            child.kill()
            raise
        self._give_back(child, done.outcome)
        return done

    async def _ask(
        self,
        child: ChildProcess,
        document: SourceFile,
        task: Task,
        progress: Callable[[int, int], None] | None,
    ) -> Done:
        # Both are set by the turn, which knows what does not count.
        deadline, page = asyncio.timeout(None), asyncio.timeout(None)
        try:
            async with deadline, page:
                with self._turn(child, document, deadline, page) as turn:
                    return await child.ask(document, task, progress, turn.alive)
        except TimeoutError:
            if page.expired():
                reason = deaths.NO_PAGE.format(seconds=self._limits.page_seconds)
                raise Unconvertible("timeout", reason) from None
            if not deadline.expired():
                raise
            raise Unconvertible("timeout", deaths.TIMEOUT) from None
        except EngineCrashed as crash:
            if self._closed:
                raise PoolClosed from crash
            log.warning("engine.child_lost", pid=child.pid, reason=crash.reason, blame=crash.blame)
            self._note_loss(document, crash)
            raise

    async def _count_again(self, document: SourceFile, claimed: int) -> None:
        """Have the pages of a PDF counted by a child that has seen no other document.

        Where it cannot count them, as in a damaged file, the claim stands.

        :raises EngineCrashed: there are not as many as was claimed.
        """
        try:
            child = await self._start()
        except (LostBeforeStart, NotStarting):
            return
        try:
            counted = (await self._ask(child, document, CountPages(), None)).outcome
        except (EngineCrashed, LostBeforeStart, Unconvertible):
            return
        finally:
            child.kill()
        if isinstance(counted, Counted) and counted.pages != claimed:
            reason = f"the conversion process claimed {claimed} pages of {counted.pages}"
            log.warning("engine.false_claim", reason=reason)
            raise EngineCrashed(reason, blame=True)

    @contextmanager
    def _turn(
        self,
        child: ChildProcess,
        document: SourceFile,
        deadline: asyncio.Timeout,
        page: asyncio.Timeout,
    ) -> Iterator[Turn]:
        def have_spare() -> None:
            self._have_spare(document.content_type)

        with Turn(child, self._slots, self._limits, deadline, page, have_spare) as turn:
            self._turns.add(turn)
            try:
                yield turn
            finally:
                self._turns.discard(turn)

    def _make_way(self) -> None:
        """Have those that are at it for long stand back at once, while the next child starts."""
        for turn in list(self._turns):
            turn.look()

    def _have_spare(self, content_type: str) -> None:
        """Start a child ahead for whom a further place is kept, while long documents hold all."""
        idle = any(child.usable for child in self._idle)
        if self._slots.full and not (idle or self._spare or self._slots.crowded or self._closed):
            spare = self._start_spare(content_type)
            self._spare = asyncio.create_task(spare, name="start spare child")

    async def _start_spare(self, content_type: str) -> None:
        try:
            child = await self._newcomer()
            try:
                await child.prepare([content_type], recognising=False)
            except BaseException:
                child.kill()
                raise
        except (LostBeforeStart, EngineCrashed, ConnectionError) as error:
            log.warning("engine.no_spare", reason=str(error))
        else:
            self._idle.append(child)
        finally:
            self._spare = None

    def _note_loss(self, document: SourceFile, crash: EngineCrashed) -> None:
        """Count a loss for health, once for each document: one that kills children harms no other.

        Whether children can be started at all is noted where they are.
        """
        now = time.monotonic()
        name = (document.tenant, document.document_id or str(document.path))
        for other in [other for other, at in self._lost.items() if now - at > COUNTED]:
            del self._lost[other]
        if crash.blame or crash.memory or name in self._lost:
            return
        self._lost[name] = now
        self.restarts.ended(crash.reason)
        self.restarts.started()  # its place is free again; the next to come up takes it

    async def _take(self) -> ChildProcess:
        while True:
            while self._idle:
                # The last one back is the one with warm caches; the others may stay swapped out.
                child = self._idle.pop()
                if child.usable:
                    return child
            coming = [task for worn, task in self._successions.items() if worn.doomed]
            if self._spare is not None:
                coming.append(self._spare)
            if not coming:
                return await self._newcomer()
            await asyncio.wait(coming, return_when=asyncio.FIRST_COMPLETED)

    async def _newcomer(self) -> ChildProcess:
        await asyncio.sleep(self._not_before - time.monotonic())
        try:
            child = await self._start()
        except (LostBeforeStart, NotStarting) as error:
            if not self._closed:
                self._not_starting = getattr(error, "reason", "")
                why = self._not_starting or "conversion processes are killed before they are up"
                self._not_before = time.monotonic() + self.restarts.ended(why)
            raise
        self._not_starting = ""
        self.restarts.started()
        if self._closed:
            child.kill()
            raise PoolClosed
        return child

    async def _start(self) -> ChildProcess:
        child = await self._started(await self._self_test.profile(self._started))
        if child.exposed != self.exposed:
            self.exposed = child.exposed
            for what in child.exposed:
                log.warning("engine.exposed", what=what)
        return child

    async def _started(self, profile: Profile) -> ChildProcess:
        try:
            child = await ChildProcess.spawn(self._limits, *self._places(), profile)
        except OSError as error:  # no memory, no process ids, no room: not the document's fault
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise NotStarting(str(error), full=full) from error
        self._alive.add(child)
        child.buried.add_done_callback(lambda _: self._alive.discard(child))
        try:
            await child.ready()
        except BaseException:
            child.kill()
            raise
        return child

    def _places(self) -> tuple[Path, Path]:
        """Make two directories for one child: to write in, and to be given documents in."""
        if not self._rooms:
            self._rooms.append(Room())
            if self._handover is not None:
                self._rooms.append(Room(self._handover))
        return self._rooms[0].place(), self._rooms[-1].place()

    def _give_back(self, child: ChildProcess, answer: Outcome) -> None:
        # What holds so much, or is left of a heap that ran full, would fail the next document.
        spent = (
            answer.wear.resident_bytes > self._limits.recycle_above_bytes
            or answer.wear.cramped
            or (isinstance(answer, Refused) and answer.code == "out_of_memory")
        )
        surplus = len(self._idle) >= self._limits.processes
        if spent or child.succeeded or surplus or self._closed:
            child.kill()
        elif child.usable:
            self._idle.append(child)
        # One that had to stand back and cannot be put forward again would be slow for good.
        worn = spent or child.stands_back or child.served >= self._limits.recycle_after_documents
        if worn and not (child.succeeded or surplus or self._closed or child in self._successions):
            succession = asyncio.create_task(self._succeed(child), name=f"succeed {child.pid}")
            self._successions[child] = succession
            succession.add_done_callback(lambda _: self._successions.pop(child, None))

    async def _succeed(self, worn: ChildProcess) -> None:
        """Put a child in the place of a worn one, which goes as soon as it has nothing in hand."""
        try:
            child = await self._start()
        except (LostBeforeStart, NotStarting) as error:
            log.warning("engine.not_succeeded", pid=worn.pid, reason=str(error))
            return  # it serves on, and the next document tries again
        try:
            await child.prepare(worn.content_types, recognising=worn.recognised)
        except (LostBeforeStart, NotStarting, ConnectionError) as error:
            log.warning("engine.not_succeeded", pid=worn.pid, reason=str(error))
            child.kill()
            return
        except BaseException:
            child.kill()
            raise
        worn.succeeded = True
        if worn in self._idle:
            self._idle.remove(worn)
            worn.kill()
        self._idle.append(child)
