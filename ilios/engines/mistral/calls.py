"""Calls as a good client makes them: few at a time, patient, and not for ever."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from mistralai.client import models

from actors.engines import EngineUnavailable, Unconvertible
from ilios.engines.mistral.breaker import Breaker
from ilios.engines.mistral.budget import Budget
from ilios.engines.mistral.faults import Fault, judged
from ilios.engines.mistral.limits import MistralLimits

FIRST_PAUSE = 0.5  # seconds
LONGEST_PAUSE = 20.0  # seconds that are waited with a document in hand; then others get its place
MOST_LOST = 6
"""Answers that may have been paid for and did not come, until a document is given up."""

Answer = TypeVar("Answer")

log = structlog.get_logger("mistral")


class Calls:
    """Makes calls until one succeeds, for as long as that makes sense."""

    def __init__(self, limits: MistralLimits, breaker: Breaker, budget: Budget) -> None:
        self._limits = limits
        self._breaker = breaker
        self._budget = budget

    async def read(
        self,
        ask: Callable[[], Awaitable[models.OCRResponse]],
        judge: Callable[[models.OCRResponse], Awaitable[Answer]],
        *,
        pages: int,
        urgent: bool,
        tenant: str = "",
    ) -> Answer:
        """Have pages read: ``ask`` calls, ``judge`` reads the answer or raises a ``Fault``.

        :raises Unconvertible: the document is refused, or its answers are lost again and again.
        :raises EngineUnavailable: the API cannot, for longer than it makes sense to wait here.
        """

        async def once() -> Answer:
            async with self._budget.call(pages, urgent=urgent, tenant=tenant):
                self._breaker.let_pass()
                answer = await ask()
            self._budget.spent(answer.usage_info.pages_processed - pages)
            return await judge(answer)

        return await self._repeated(once)

    async def do(self, step: Callable[[], Awaitable[Answer]]) -> Answer:
        """Make a call that costs nothing, and so however often. Errors as ``read``."""

        async def once() -> Answer:
            self._breaker.let_pass()
            try:
                return await step()
            except Exception as error:
                raise _for_free(error) from error

        return await self._repeated(once)

    async def _repeated(self, once: Callable[[], Awaitable[Answer]]) -> Answer:
        until = time.monotonic() + self._limits.retry_within
        pause, lost = FIRST_PAUSE, 0
        while True:
            try:
                answer = await once()
            except (EngineUnavailable, asyncio.CancelledError):
                raise
            except Exception as error:  # noqa: BLE001  judged names those it knows
                fault = self._judged(error)
            else:
                self._breaker.worked()
                return answer
            lost += fault.kind == "lost"
            if lost >= MOST_LOST:
                reason = f"{fault.reason}, {lost} times for this document."
                raise Unconvertible(fault.code, reason) from fault
            self._breaker.failed(fault)
            if self._breaker.problem is not None and fault.kind != "busy":
                self._breaker.let_pass()  # which it does not: the document waits elsewhere
            wait = fault.after if fault.after is not None else random.uniform(pause / 2, pause)  # noqa: S311
            if fault.kind == "busy":
                self._budget.pause(min(wait, LONGEST_PAUSE))
            log.info("mistral call failed", reason=fault.reason, kind=fault.kind, after=wait)
            if wait > LONGEST_PAUSE or fault.kind == "account" or time.monotonic() + wait > until:
                after = max(wait, LONGEST_PAUSE)
                raise EngineUnavailable(fault.code, f"{fault.reason}.", after=after) from fault
            pause = min(pause * 2, LONGEST_PAUSE)
            await asyncio.sleep(wait)

    def away(self, error: Exception) -> EngineUnavailable:
        """Return what becomes of a fault that is not waited out here."""
        fault = self._judged(error)
        self._breaker.failed(fault)
        after = LONGEST_PAUSE if fault.after is None else fault.after
        return EngineUnavailable(fault.code, f"{fault.reason}.", after=after)

    def _judged(self, error: Exception) -> Fault:
        verdict = error if isinstance(error, Fault | Unconvertible) else judged(error)
        if isinstance(verdict, Unconvertible):
            self._breaker.worked()  # whoever refuses a document is at work
            raise verdict from error
        return verdict


def _for_free(error: Exception) -> Exception:
    """Return a fault as one of a call nobody pays for, whatever became of its answer."""
    if isinstance(error, EngineUnavailable):
        return error
    verdict = error if isinstance(error, Fault | Unconvertible) else judged(error)
    if isinstance(verdict, Fault) and verdict.kind == "lost":
        return Fault("down", "engine_unavailable", verdict.reason, verdict.after)
    return verdict
