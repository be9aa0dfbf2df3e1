"""Carries out a plan: waits for each moment, kills or pauses, and starts again what is ours to."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct

from ilios.chaos.plan import Fault
from ilios.chaos.promises import Book
from ilios.chaos.victims import NobodyThere, ServiceProcess, Victim

LOOK_EVERY = 0.01  # seconds
# Seconds in which nothing was accepted and nothing has ended; one request alone may take a minute.
STALLED_AFTER = 90.0
FOUND_WITHIN = 5.0  # seconds until a process that is to be hit is there


class Stalled(Exception):
    """Nothing goes on any more although the service runs."""


class Done(Struct, frozen=True):
    """A fault that was carried out. Times are ``time.monotonic`` seconds.

    ``up_after`` is how long the service took to start again, if it had to; ``on_after`` how long
    until something was accepted or ended again, None if that was not waited for.
    """

    fault: Fault
    victim: Victim
    at: float
    up_after: float | None = None
    on_after: float | None = None


class Faults:
    """``done`` lists what was carried out, ``last_at`` is the moment of the last.

    ``wait`` says whether there has to be work before it goes on.
    """

    def __init__(
        self,
        service: ServiceProcess,
        book: Book,
        work: "asyncio.Task[None]",
    ) -> None:
        self._service = service
        self._book = book
        self._work = work
        self.done: list[Done] = []
        self.wait = False

    @property
    def kills(self) -> int:
        """How many kills there were."""
        return sum(one.fault.kills for one in self.done)

    @property
    def last_at(self) -> float | None:
        """When the last fault was over, which a pause is when it ends."""
        return self.done[-1].at if self.done else None

    async def carry_out(self, faults: list[Fault]) -> None:
        """Do all of it.

        :raises Stalled: the moment of a fault does not come.
        :raises DidNotStart: the service does not start again.
        """
        for fault in faults:
            await self.until(lambda due=fault.progress: self._book.progress >= due)  # type: ignore[misc]
            await asyncio.sleep(fault.delay)
            await self._carry_out(fault)

    async def until(self, fact: Callable[[], bool]) -> None:
        """Wait for a fact; see to it that the service runs meanwhile. Errors as ``carry_out``."""
        progress, since = self._book.progress, time.monotonic()
        while not fact():
            await asyncio.sleep(LOOK_EVERY)
            if self._work.done():
                self._work.result()
            if self._service.code is not None:
                await self._ended_by_itself()
            if self._book.progress != progress:
                progress, since = self._book.progress, time.monotonic()
            elif time.monotonic() - since > STALLED_AFTER:
                raise Stalled(
                    f"nothing was accepted and nothing has ended for {STALLED_AFTER:.0f} s; the "
                    f"end of the log of the service:\n{self._service.last_words()}"
                )

    async def keep_up(self) -> None:
        """See to it that the service runs, for ever. Errors as ``carry_out``."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if self._service.code is not None:
                await self._ended_by_itself()

    async def _carry_out(self, fault: Fault) -> None:
        victim, at = await self._hit(fault)
        before = self._book.progress
        up_after: float | None = None
        if fault.how == "kill twice":
            await self._service.spawn()
            await asyncio.sleep(fault.lasting)
            with suppress(NobodyThere):  # it has ended by itself, as is told below
                await self._service.kill("all")
                at = time.monotonic()
        if fault.how != "pause" and self._service.code is not None:
            await self._service.start()
            up_after = time.monotonic() - at
        self.done.append(Done(fault, victim, at, up_after))
        if self._book.open or not self._work.done():
            self.wait = True
            await self.until(lambda: self._book.progress > before)
            self.wait = False
            self.done[-1] = Done(fault, victim, at, up_after, time.monotonic() - at)

    async def _hit(self, fault: Fault) -> tuple[Victim, float]:
        """Hit the victim as soon as it is there; after a while, the service in its place."""
        victim, deadline = fault.victim, time.monotonic() + FOUND_WITHIN
        while True:
            try:
                at = time.monotonic()
                if fault.how == "pause":
                    await self._service.pause(victim, fault.lasting)
                    self.wait = False
                    return victim, time.monotonic()
                await self._service.kill(victim)
                self.wait = False
                return victim, at
            except NobodyThere:
                self.wait = True  # an engine process is started when there is work for it
                if time.monotonic() > deadline:
                    victim = "service"
                await asyncio.sleep(LOOK_EVERY)
                if self._service.code is not None:
                    await self._ended_by_itself()

    async def _ended_by_itself(self) -> None:
        what = f"it ended with code {self._service.code} although nobody had asked it to"
        self._book.complain("ended by itself", "service", what)
        await self._service.start()
