"""Metrics of the one writer of the database."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from actors.writes import GROUP_SIZE
from ilios.metrics.families import Family, collect

COMMIT_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
GROUP_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, GROUP_SIZE)


class WriteMetrics:
    """Measures commits: their time, and how many writes are in one."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._seconds = Histogram(
            "ilios_writer_commit_duration_seconds",
            "Time of a commit of the writer.",
            registry=registry,
            buckets=COMMIT_BUCKETS,
        )
        self._writes = Histogram(
            "ilios_writer_group_size",
            "Writes in one commit.",
            registry=registry,
            buckets=GROUP_BUCKETS,
        )
        self._failures = Counter(
            "ilios_writer_failures", "Commits of which nothing was stored.", registry=registry
        )

    def collect(self) -> list[Family]:
        """Return the metrics at the moment."""
        return collect(self._registry)

    def observe(self, writes: int, seconds: float, stored: bool) -> None:  # noqa: FBT001  as CommitObserver
        """Count a commit."""
        self._seconds.observe(seconds)
        self._writes.observe(writes)
        if not stored:
            self._failures.inc()
