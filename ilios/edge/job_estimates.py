"""Estimates of when the batch jobs of an engine end."""

from collections.abc import Callable
from datetime import UTC, datetime

from ilios.edge.queue_estimates import WEIGHT, Running, remaining
from schemas.batches import TERMINAL_JOB_STATUSES, BatchProgressed
from schemas.records import BatchRecord

MAX_JOBS = 10_000


def waits_for_job(batch: BatchRecord) -> bool:
    """Whether documents of a batch are converted by a job, or are to be."""
    state = batch.engine_batch
    return state is not None and state.status not in TERMINAL_JOB_STATUSES


class JobEstimates:
    """Learns how long jobs take, the newest with the most weight."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began: dict[tuple[str, str], float] = {}
        self._mean: float | None = None

    def on_progressed(self, event: BatchProgressed) -> None:
        """Take the progress of a job: the first event about it, and the one of its end."""
        name, now = (event.tenant, event.batch_id), self._clock()
        if event.status not in TERMINAL_JOB_STATUSES:
            self._began.setdefault(name, now)
            while len(self._began) > MAX_JOBS:
                del self._began[next(iter(self._began))]
            return
        began = self._began.pop(name, None)
        if began is not None and event.status == "SUCCESS":
            before = now - began if self._mean is None else self._mean
            self._mean = before + WEIGHT * (now - began - before)

    def remaining(self, batch: BatchRecord) -> float | None:
        """Return the seconds until the job of a batch ends: by its requests, and by former jobs."""
        state = batch.engine_batch
        if state is None or not waits_for_job(batch):
            return None
        elapsed = max(0.0, (datetime.now(UTC) - batch.submitted_at).total_seconds())
        return remaining(Running(state.completed + state.failed, state.total, elapsed), self._mean)
