"""Carries out a plan: waits for each moment, kills or pauses, and starts again what is ours to."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct

from ilios.chaos.expectations import RunRecord
from ilios.chaos.plan import Fault
from ilios.chaos.processes import NoSuchProcess, ServiceProcess, Target

LOOK_EVERY = 0.01  # seconds
# Seconds in which nothing was accepted and nothing has ended; one request alone may take a minute.
STALLED_AFTER = 90.0
FOUND_WITHIN = 5.0  # seconds until a process that is to be hit is there


class Stalled(Exception):
    """Nothing goes on any more although the service runs."""


class InjectedFault(Struct, frozen=True):
    """A fault that was carried out. Times are ``time.monotonic`` seconds.

    ``up_after`` is how long the service took to start again, if it had to; ``on_after`` how long
    until something was accepted or ended again, None if that was not waited for.
    """

    fault: Fault
    target: Target
    at: float
    restarted_after: float | None = None
    recovered_after: float | None = None


class FaultInjector:
    """``done`` lists what was carried out, ``last_at`` is the moment of the last.

    ``wait`` says whether there has to be work before it goes on.
    """

    def __init__(
        self,
        service: ServiceProcess,
        record: RunRecord,
        work: "asyncio.Task[None]",
    ) -> None:
        self._service = service
        self._record = record
        self._work = work
        self.injected: list[InjectedFault] = []
        self.awaiting_progress = False

    @property
    def kills(self) -> int:
        """How many kills there were."""
        return sum(one.fault.kills for one in self.injected)

    @property
    def last_at(self) -> float | None:
        """When the last fault was over, which a pause is when it ends."""
        return self.injected[-1].at if self.injected else None

    async def inject_all(self, faults: list[Fault]) -> None:
        """Do all of it.

        :raises Stalled: the moment of a fault does not come.
        :raises DidNotStart: the service does not start again.
        """
        for fault in faults:
            await self.wait_until(lambda due=fault.progress: self._record.progress >= due)  # type: ignore[misc]
            await asyncio.sleep(fault.delay)
            await self._inject(fault)

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for a fact; see to it that the service runs meanwhile. Errors as ``carry_out``."""
        progress, since = self._record.progress, time.monotonic()
        while not condition():
            await asyncio.sleep(LOOK_EVERY)
            if self._work.done():
                self._work.result()
            if self._service.exit_code is not None:
                await self._restart_after_exit()
            if self._record.progress != progress:
                progress, since = self._record.progress, time.monotonic()
            elif time.monotonic() - since > STALLED_AFTER:
                raise Stalled(
                    f"nothing was accepted and nothing has ended for {STALLED_AFTER:.0f} s; the "
                    f"end of the log of the service:\n{self._service.log_tail()}"
                )

    async def keep_running(self) -> None:
        """See to it that the service runs, for ever. Errors as ``carry_out``."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if self._service.exit_code is not None:
                await self._restart_after_exit()

    async def _inject(self, fault: Fault) -> None:
        target, at = await self._strike(fault)
        before = self._record.progress
        up_after: float | None = None
        if fault.action == "kill twice":
            await self._service.spawn()
            await asyncio.sleep(fault.duration)
            with suppress(NoSuchProcess):  # it has ended by itself, as is told below
                await self._service.kill("all")
                at = time.monotonic()
        if fault.action != "pause" and self._service.exit_code is not None:
            await self._service.start()
            up_after = time.monotonic() - at
        self.injected.append(InjectedFault(fault, target, at, up_after))
        if self._record.unfinished or not self._work.done():
            self.awaiting_progress = True
            await self.wait_until(lambda: self._record.progress > before)
            self.awaiting_progress = False
            self.injected[-1] = InjectedFault(fault, target, at, up_after, time.monotonic() - at)

    async def _strike(self, fault: Fault) -> tuple[Target, float]:
        """Hit the victim as soon as it is there; after a while, the service in its place."""
        target, deadline = fault.target, time.monotonic() + FOUND_WITHIN
        while True:
            try:
                at = time.monotonic()
                if fault.action == "pause":
                    await self._service.pause(target, fault.duration)
                    self.awaiting_progress = False
                    return target, time.monotonic()
                await self._service.kill(target)
                self.awaiting_progress = False
                return target, at
            except NoSuchProcess:
                self.awaiting_progress = (
                    True  # an engine process is started when there is work for it
                )
                if time.monotonic() > deadline:
                    target = "service"
                await asyncio.sleep(LOOK_EVERY)
                if self._service.exit_code is not None:
                    await self._restart_after_exit()

    async def _restart_after_exit(self) -> None:
        what = f"it ended with code {self._service.exit_code} although nobody had asked it to"
        self._record.add_violation("ended by itself", "service", what)
        await self._service.start()
