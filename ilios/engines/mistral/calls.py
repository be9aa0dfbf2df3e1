"""Calls as a good client makes them: few at a time, patient, and not for ever."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from mistralai.client import models

from actors.engines import EngineUnavailable, Unconvertible
from ilios.engines.mistral.circuit_breaker import CircuitBreaker
from ilios.engines.mistral.errors import ApiError, classify
from ilios.engines.mistral.limits import MistralLimits
from ilios.engines.mistral.rate_limit import RateLimiter

FIRST_PAUSE = 0.5  # seconds
LONGEST_PAUSE = 20.0  # seconds that are waited with a document in hand; then others get its place
MOST_LOST = 6
"""Answers that may have been paid for and did not come, until a document is given up."""

Answer = TypeVar("Answer")

log = structlog.get_logger("mistral")


class RetryingCalls:
    """Makes calls until one succeeds, for as long as that makes sense."""

    def __init__(
        self, limits: MistralLimits, breaker: CircuitBreaker, rate_limiter: RateLimiter
    ) -> None:
        self._limits = limits
        self._breaker = breaker
        self._rate_limiter = rate_limiter

    async def run_ocr(
        self,
        call: Callable[[], Awaitable[models.OCRResponse]],
        parse: Callable[[models.OCRResponse], Awaitable[Answer]],
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
            async with self._rate_limiter.slot(pages, urgent=urgent, tenant=tenant):
                self._breaker.before_call()
                answer = await call()
            self._rate_limiter.record_extra_pages(answer.usage_info.pages_processed - pages)
            return await parse(answer)

        return await self._retry(once)

    async def run(self, step: Callable[[], Awaitable[Answer]]) -> Answer:
        """Make a call that costs nothing, and so however often. Errors as ``read``."""

        async def once() -> Answer:
            self._breaker.before_call()
            try:
                return await step()
            except Exception as error:
                raise _as_unbilled(error) from error

        return await self._retry(once)

    async def _retry(self, once: Callable[[], Awaitable[Answer]]) -> Answer:
        deadline = time.monotonic() + self._limits.retry_timeout
        pause, lost = FIRST_PAUSE, 0
        while True:
            try:
                answer = await once()
            except (EngineUnavailable, asyncio.CancelledError):
                raise
            except Exception as error:  # noqa: BLE001  judged names those it knows
                failure = self._classify(error)
            else:
                self._breaker.record_success()
                return answer
            lost += failure.kind == "lost"
            if lost >= MOST_LOST:
                reason = f"{failure.reason}, {lost} times for this document."
                raise Unconvertible(failure.code, reason) from failure
            self._breaker.record_failure(failure)
            if self._breaker.problem is not None and failure.kind != "busy":
                self._breaker.before_call()  # which it does not: the document waits elsewhere
            wait = failure.retry_after
            if wait is None:
                wait = random.uniform(pause / 2, pause)  # noqa: S311
            if failure.kind == "busy":
                self._rate_limiter.pause(min(wait, LONGEST_PAUSE))
            log.info("mistral call failed", reason=failure.reason, kind=failure.kind, after=wait)
            if (
                wait > LONGEST_PAUSE
                or failure.kind == "account"
                or time.monotonic() + wait > deadline
            ):
                after = max(wait, LONGEST_PAUSE)
                raise EngineUnavailable(
                    failure.code, f"{failure.reason}.", retry_after=after
                ) from failure
            pause = min(pause * 2, LONGEST_PAUSE)
            await asyncio.sleep(wait)

    def as_unavailable(self, error: Exception) -> EngineUnavailable:
        """Return what becomes of a fault that is not waited out here."""
        failure = self._classify(error)
        self._breaker.record_failure(failure)
        after = LONGEST_PAUSE if failure.retry_after is None else failure.retry_after
        return EngineUnavailable(failure.code, f"{failure.reason}.", retry_after=after)

    def _classify(self, error: Exception) -> ApiError:
        classified = error if isinstance(error, ApiError | Unconvertible) else classify(error)
        if isinstance(classified, Unconvertible):
            self._breaker.record_success()  # whoever refuses a document is at work
            raise classified from error
        return classified


def _as_unbilled(error: Exception) -> Exception:
    """Return a fault as one of a call nobody pays for, whatever became of its answer."""
    if isinstance(error, EngineUnavailable):
        return error
    classified = error if isinstance(error, ApiError | Unconvertible) else classify(error)
    if isinstance(classified, ApiError) and classified.kind == "lost":
        return ApiError("down", "engine_unavailable", classified.reason, classified.retry_after)
    return classified
