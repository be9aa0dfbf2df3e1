"""Calls of the API: rate limit, circuit breaker and retries."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import TypeVar

import structlog

from actors.backoff import Backoff
from actors.engines import EngineUnavailable, Unconvertible
from ilios.engines.mistral import MistralLimits
from ilios.engines.mistral.errors import BAD_KEY, ApiError, classify
from ilios.engines.mistral.ocr import OcrResponse
from ilios.runtime.fair_semaphore import FairSemaphore

LONGEST_PAUSE = 20.0  # seconds between two calls for a document; longer waits free its slot
MOST_LOST = 6
"""Lost answers, which may have been billed, after which a document fails."""

MINUTE = 60.0
LARGE_CALL_PAGES = 10
MAX_CONCURRENT_LARGE_CALLS = 8
"""Calls for more than ``LARGE_CALL_PAGES``: their answers, with images, are in memory, and they
must not take all slots."""

FAILURE_THRESHOLD = 8  # consecutive failures, of any documents
FIRST_OPEN_SECONDS = 5.0  # seconds
MAX_OPEN_SECONDS = 60.0
PROBE_SECONDS = 2.0  # seconds in which a single call tries whether the API works again

Answer = TypeVar("Answer")

log = structlog.get_logger("mistral")


class RateLimiter:
    """Limits concurrent calls and pages per minute of this process, fairly between tenants."""

    def __init__(self, limits: MistralLimits) -> None:
        self._slots = FairSemaphore(limits.max_concurrent_calls)
        self._large_slots = FairSemaphore(MAX_CONCURRENT_LARGE_CALLS)
        self._rate = limits.pages_per_minute / MINUTE
        self._next_page_at = 0.0
        self._paused_until = 0.0

    @asynccontextmanager
    async def slot(self, pages: int, *, urgent: bool, tenant: str = "") -> AsyncIterator[None]:
        """Hold a slot for a call that reads so many pages; wait for it first."""
        is_large = pages > LARGE_CALL_PAGES
        large = self._large_slots.slot(tenant=tenant) if is_large else nullcontext()
        async with large, self._slots.slot(urgent=urgent, tenant=tenant):
            await self._wait(pages)
            yield

    def pause(self, seconds: float) -> None:
        """Let no call begin for a while, as the API has asked."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    def record_extra_pages(self, pages: int) -> None:
        """Count pages that were read beyond the requested ones."""
        if self._rate:
            self._next_page_at = max(self._next_page_at, time.monotonic()) + pages / self._rate

    async def _wait(self, pages: int) -> None:
        while (left := self._paused_until - time.monotonic()) > 0:  # noqa: ASYNC110  only a time
            await asyncio.sleep(left)
        if not self._rate:
            return
        # Calls are spaced by the time of their pages, so that no minute has more than the limit.
        begins = max(self._next_page_at, time.monotonic())
        self._next_page_at = begins + pages / self._rate
        await asyncio.sleep(begins - time.monotonic())


class CircuitBreaker:
    """Stops calls while the API does not work (M. Nygard, Release It!, 2nd edition, chapter 5).

    Closed, it lets all calls through. Open, it lets a single one through after each pause.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._open_seconds = 0.0
        self._open_until: float | None = None
        self._cause: ApiError | None = None

    @property
    def problem(self) -> str | None:
        """Why the circuit is open, for the operator; None while it is closed."""
        if self._open_until is None or self._cause is None:
            return None
        left = max(0.0, self._open_until - time.monotonic())
        return f"{self._cause.reason}; circuit open, next call in {left:.0f} s"

    @property
    def refuses_account(self) -> bool:
        """Whether the circuit is open because the API refuses the account, for some time yet."""
        open_until, cause = self._open_until, self._cause
        if open_until is None or cause is None or cause.kind != "account":
            return False
        return cause.code == BAD_KEY or open_until > time.monotonic()

    @property
    def may_try_key(self) -> bool:
        """Whether the key was refused, and may be tried again."""
        if self._open_until is None or self._cause is None or self._cause.code != BAD_KEY:
            return False
        return self._open_until <= time.monotonic()

    def before_call(self) -> None:
        """Let a call through: any while closed, one after each pause while open.

        :raises EngineUnavailable: the circuit is open.
        """
        if self._open_until is None or self._cause is None:
            return
        left = self._open_until - time.monotonic()
        if left > 0:
            raise EngineUnavailable(
                self._cause.code, f"{self._cause.reason}.", retry_after=_add_jitter(left)
            )
        self._open_until = time.monotonic() + PROBE_SECONDS

    def record_success(self) -> None:
        """Close the circuit after an answer, which may be a refusal of the document."""
        if self._open_until is not None:
            log.info("circuit closed")
        self._failures, self._open_seconds = 0, 0.0
        self._open_until = self._cause = None

    def record_failure(self, error: ApiError) -> None:
        """Count a failure; enough of them, or one of the account, open the circuit."""
        if error.kind == "busy":
            return
        self._failures += 1
        if (
            error.kind != "account"
            and self._failures < FAILURE_THRESHOLD
            and self._open_until is None
        ):
            return
        if self._open_until is not None and self._open_until - time.monotonic() > PROBE_SECONDS:
            return  # of a call that began before the circuit was opened
        seconds = MAX_OPEN_SECONDS if error.kind == "account" else self._open_seconds * 2
        self._open_seconds = min(
            max(seconds, error.retry_after or 0.0, FIRST_OPEN_SECONDS), MAX_OPEN_SECONDS
        )
        self._open_until = time.monotonic() + self._open_seconds
        self._cause = error
        log.warning("circuit open", reason=error.reason, seconds=round(self._open_seconds, 1))


def _add_jitter(seconds: float) -> float:
    """Return a little more than these seconds, so that waiting documents are spread."""
    return seconds + random.uniform(0.0, 1.0 + seconds / 4)  # noqa: S311


class RetryingCalls:
    """Retries calls within ``limits.retry_timeout``."""

    def __init__(
        self, limits: MistralLimits, breaker: CircuitBreaker, rate_limiter: RateLimiter
    ) -> None:
        self._limits = limits
        self._breaker = breaker
        self._rate_limiter = rate_limiter
        self._backoff = Backoff(first=limits.retry_pause, longest=LONGEST_PAUSE)

    async def run_ocr(
        self,
        call: Callable[[], Awaitable[OcrResponse]],
        parse: Callable[[OcrResponse], Awaitable[Answer]],
        *,
        pages: int,
        urgent: bool,
        tenant: str = "",
    ) -> Answer:
        """Run OCR on pages: ``parse`` reads the answer of ``call`` or raises an ``ApiError``.

        :raises Unconvertible: the document is refused, or its answers are lost repeatedly.
        :raises EngineUnavailable: the API does not work for longer than a document waits.
        """

        async def once() -> Answer:
            async with self._rate_limiter.slot(pages, urgent=urgent, tenant=tenant):
                self._breaker.before_call()
                answer = await call()
            self._rate_limiter.record_extra_pages(answer.usage_info.pages_processed - pages)
            return await parse(answer)

        return await self._retry(once)

    async def run(self, step: Callable[[], Awaitable[Answer]]) -> Answer:
        """Make a call that is not billed. Errors as ``run_ocr``."""

        async def once() -> Answer:
            self._breaker.before_call()
            try:
                return await step()
            except Exception as error:
                raise _as_unbilled(error) from error

        return await self._retry(once)

    async def _retry(self, once: Callable[[], Awaitable[Answer]]) -> Answer:
        deadline = time.monotonic() + self._limits.retry_timeout
        attempts = lost = 0
        while True:
            try:
                answer = await once()
            except (EngineUnavailable, asyncio.CancelledError):
                raise
            except Exception as error:  # noqa: BLE001  classify raises unknown ones
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
                self._breaker.before_call()  # raises: the document does not wait here
            wait = failure.retry_after
            if wait is None:
                pause = self._backoff.pause(attempts)
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
            attempts += 1
            await asyncio.sleep(wait)

    async def try_refused_key(self, check: Callable[[], Awaitable[None]]) -> None:
        """Close the circuit if a key that was refused is accepted, without a call that is paid."""
        if not self._breaker.may_try_key:
            return
        self._breaker.before_call()
        try:
            await check()
        except Exception as error:  # noqa: BLE001  unknown ones are raised there
            with suppress(Unconvertible):  # an API that refuses the request accepts the key
                self.as_unavailable(error)
        else:
            self._breaker.record_success()

    def as_unavailable(self, error: Exception) -> EngineUnavailable:
        """Return the error to raise for a failure that is not retried here."""
        failure = self._classify(error)
        self._breaker.record_failure(failure)
        after = LONGEST_PAUSE if failure.retry_after is None else failure.retry_after
        return EngineUnavailable(failure.code, f"{failure.reason}.", retry_after=after)

    def _classify(self, error: Exception) -> ApiError:
        classified = error if isinstance(error, ApiError | Unconvertible) else classify(error)
        if isinstance(classified, Unconvertible):
            self._breaker.record_success()  # an API that refuses a document works
            raise classified from error
        return classified


def _as_unbilled(error: Exception) -> Exception:
    """Return a failure as one of a call that is not billed, even if its answer was lost."""
    if isinstance(error, EngineUnavailable):
        return error
    classified = error if isinstance(error, ApiError | Unconvertible) else classify(error)
    if isinstance(classified, ApiError) and classified.kind == "lost":
        return ApiError("down", "engine_unavailable", classified.reason, classified.retry_after)
    return classified
