"""The children of the local engine: warm, bounded in number, replaced when they are lost."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from actors.ports import EngineCrashed, Unconvertible
from ilios.engines import deaths
from ilios.engines.limits import EngineLimits
from ilios.engines.process import ChildProcess, LostBeforeStart
from ilios.engines.protocol import Converted, Refused, Request
from ilios.engines.scratch import Room

CHILDREN_PER_DOCUMENT = 3
"""How many children may be lost before they touch the document until we give up on this attempt."""

log = structlog.get_logger(__name__)


class PoolClosed(EngineCrashed):
    """The engine has stopped or is stopping."""

    def __init__(self) -> None:
        super().__init__("the engine is stopping", blame=False)


class Pool:
    """At most ``limits.processes`` children, each with one document at a time.

    Children start when they are needed and stay. A child goes back to the idle ones only after it
    has answered; whatever else happens to a document (timeout, death, cancellation), its child is
    killed and the slot is free again. A child that dies idle is noticed and buried by itself.
    """

    def __init__(self, limits: EngineLimits) -> None:
        self._limits = limits
        self._slots = asyncio.Semaphore(limits.processes)
        self._idle: list[ChildProcess] = []
        self._alive: set[ChildProcess] = set()
        self._room: Room | None = None
        self._closed = False

    @property
    def pids(self) -> frozenset[int]:
        """The process ids of the children that are not yet buried."""
        return frozenset(child.pid for child in self._alive)

    async def run(
        self, request: Request, progress: Callable[[int, int], None] | None
    ) -> Converted | Refused:
        """Have a document converted by the next free child.

        :raises Unconvertible: it took too long or needed too much memory.
        :raises EngineCrashed: its child died, or none can be started.
        """
        async with self._slots:
            for _ in range(CHILDREN_PER_DOCUMENT):
                if self._closed:
                    raise PoolClosed
                try:
                    return await self._attempt(request, progress)
                except LostBeforeStart:
                    continue
        raise EngineCrashed("conversion processes keep being killed", blame=False)

    async def check(self) -> None:
        """Make sure that a child can work, by starting one if none is there.

        :raises EngineCrashed: none can be started.
        """
        if self._slots.locked():
            return  # all of them are at work
        async with self._slots:
            child = await self._take()
            self._idle.append(child)

    async def close(self) -> None:
        """Kill all children and wait until they are gone. Documents in work end in PoolClosed."""
        self._closed = True
        for child in self._alive:
            child.kill()
        # Every slot free means nobody is left who might still be starting a child.
        for _ in range(self._limits.processes):
            await self._slots.acquire()
        for _ in range(self._limits.processes):
            self._slots.release()
        await asyncio.gather(*(child.buried for child in self._alive))
        if self._room is not None:
            self._room.close()
            self._room = None

    async def _attempt(
        self, request: Request, progress: Callable[[int, int], None] | None
    ) -> Converted | Refused:
        child = await self._take()
        try:
            answer = await self._ask(child, request, progress)
        except BaseException:
            # Also when cancelled: the child is still at work, and its answer would be taken for
            # that to the next request.
            child.kill()
            raise
        self._give_back(child, answer)
        return answer

    async def _ask(
        self, child: ChildProcess, request: Request, progress: Callable[[int, int], None] | None
    ) -> Converted | Refused:
        deadline = asyncio.timeout(self._limits.wall_seconds)
        try:
            async with deadline:
                return await child.ask(request, progress)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise Unconvertible("timeout", deaths.TIMEOUT) from None
        except EngineCrashed as crash:
            if self._closed:
                raise PoolClosed from crash
            log.warning("engine.child_lost", pid=child.pid, reason=crash.reason, blame=crash.blame)
            raise

    async def _take(self) -> ChildProcess:
        while self._idle:
            # The last one back is the one with warm caches; the others may stay swapped out.
            child = self._idle.pop()
            if child.usable:
                return child
        child = await ChildProcess.spawn(self._limits, self._scratch())
        self._alive.add(child)
        child.buried.add_done_callback(lambda _: self._alive.discard(child))
        try:
            await child.ready()
        except BaseException:
            child.kill()
            raise
        if self._closed:
            child.kill()
            raise PoolClosed
        return child

    def _scratch(self) -> Path:
        if self._room is None:
            self._room = Room()
        return self._room.place()

    def _give_back(self, child: ChildProcess, answer: Converted | Refused) -> None:
        worn = (
            child.served >= self._limits.recycle_after_documents
            or answer.wear.resident_bytes > self._limits.recycle_above_bytes
            or answer.wear.cramped
            # What is left of a heap that ran full would fail the next document too.
            or (isinstance(answer, Refused) and answer.code == "out_of_memory")
        )
        if worn or self._closed:
            child.kill()
        elif child.usable:
            self._idle.append(child)
