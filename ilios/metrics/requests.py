"""Metrics of requests by HTTP, by route: never by path, which has ids and keys."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from ilios.metrics.bounded import OTHER
from ilios.metrics.families import Family, collect

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestMetrics:
    """Counts requests and measures their time, until the last byte of the answer is written."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "ilios_http_requests", "Requests.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "ilios_http_request_duration_seconds",
            "Time of requests.",
            ["method", "route"],
            registry=registry,
            buckets=BUCKETS,
        )

    def collect(self) -> list[Family]:
        """Return the metrics at the moment."""
        return collect(self._registry)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; status 499 is that of a client that hung up."""
        known = method if method in METHODS else OTHER
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(known, route).observe(seconds)
