"""Metrics of documents, from the events that the persister has committed."""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Histogram

from actors.writes import Announcement, LogEntry
from bus.consumers import lane_for
from ilios.metrics.bounded import BoundedValues
from ilios.metrics.families import Family, collect
from schemas.documents import (
    DocumentCancelled,
    DocumentConverted,
    DocumentEvent,
    DocumentFailed,
    DocumentFetched,
    DocumentRejected,
    DocumentSubmitted,
)

STAGE_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400)
MAX_IN_WORK = 50_000  # documents whose times are remembered; the stages of others are not measured
MAX_ENDED = 10_000  # documents that have ended, whose further events do not count
MAX_CODES = 50
NO_ENGINE = "none"  # of documents that were not converted
MAX_ENGINES = 10
MAX_TENANTS = 100

_Name = tuple[str, str, int]


class _Times(Struct):
    """When a document was submitted, and when its last stage ended."""

    submitted: datetime
    last: datetime


class DocumentMetrics:
    """Counts documents and pages, and measures the stages of documents.

    ``tenants`` is whether there are series for each tenant.
    """

    def __init__(self, *, tenants: bool = False) -> None:
        self._in_work: OrderedDict[_Name, _Times] = OrderedDict()
        self._ended: OrderedDict[_Name, None] = OrderedDict()
        self._engine, self._code = BoundedValues(MAX_ENGINES), BoundedValues(MAX_CODES)
        self._tenant = BoundedValues(MAX_TENANTS)
        self._registry = registry = CollectorRegistry()
        self._submitted = Counter(
            "ilios_documents_submitted", "Documents submitted.", ["lane"], registry=registry
        )
        self._documents = Counter(
            "ilios_documents", "Documents that ended.", ["outcome", "engine"], registry=registry
        )
        self._failures = Counter(
            "ilios_document_failures", "Documents that failed.", ["code"], registry=registry
        )
        self._pages = Counter("ilios_pages", "Pages converted.", ["engine"], registry=registry)
        self._stages = Histogram(
            "ilios_document_stage_duration_seconds",
            "Time of documents in each stage: fetch, wait for an engine, convert, store; total.",
            ["stage"],
            registry=registry,
            buckets=STAGE_BUCKETS,
        )
        for outcome in ("failed", "cancelled", "rejected"):
            self._documents.labels(outcome, NO_ENGINE)  # at 0, so that the first one is an increase
        self._tenants = None
        if tenants:
            self._tenants = (
                Counter(
                    "ilios_tenant_documents",
                    "Documents that ended, by tenant.",
                    ["tenant", "outcome"],
                    registry=registry,
                ),
                Counter(
                    "ilios_tenant_pages",
                    "Pages converted, by tenant.",
                    ["tenant"],
                    registry=registry,
                ),
            )

    def collect(self) -> list[Family]:
        """Return the metrics at the moment."""
        return collect(self._registry)

    def observe(self, entries: Sequence[LogEntry], announcements: Sequence[Announcement]) -> None:
        """Count events that are committed, and what was announced for them."""
        for entry in entries:
            match entry.event:
                case DocumentSubmitted() as event:
                    self._submit(event, entry.stored_at)
                case DocumentFetched() as event:
                    self._end_stage("fetch", event, entry.stored_at)
                case DocumentConverted() as event:
                    # The engine measures its own time; the rest is that of the queue.
                    self._stages.labels("convert").observe(event.seconds)
                    self._end_stage("wait", event, entry.stored_at, without=event.seconds)
                case DocumentFailed() as event:
                    if self._end(event, "failed"):
                        self._failures.labels(self._code(event.code)).inc()
                case DocumentCancelled() as event:
                    self._end(event, "cancelled")
                case _:
                    pass
        for announced in announcements:
            self._announce(announced)

    def _announce(self, event: Announcement) -> None:
        if isinstance(event, DocumentRejected):
            self._end(event, "rejected")
            return
        self._end_stage("store", event, now := datetime.now(UTC))
        times = self._in_work.get(_name(event))
        engine = self._engine(event.engine)
        if times is not None:
            self._observe("total", now - times.submitted)
        if self._end(event, "partial" if event.partial else "completed", engine):
            self._pages.labels(engine).inc(event.pages)
            if self._tenants is not None:
                self._tenants[1].labels(self._tenant(event.tenant)).inc(event.pages)

    def _submit(self, event: DocumentSubmitted, stored_at: datetime) -> None:
        name = _name(event)
        if name in self._in_work or name in self._ended:
            return
        self._submitted.labels(lane_for(event.priority).name).inc()
        self._in_work[name] = _Times(stored_at, stored_at)
        if len(self._in_work) > MAX_IN_WORK:
            self._in_work.popitem(last=False)

    def _end_stage(
        self, stage: str, event: DocumentEvent, at: datetime, *, without: float = 0.0
    ) -> None:
        times = self._in_work.get(_name(event))
        if times is not None:
            self._observe(stage, at - times.last - timedelta(seconds=without))
            times.last = at

    def _end(self, event: DocumentEvent, outcome: str, engine: str = NO_ENGINE) -> bool:
        """Count the end of a document, the first time; returns whether it is."""
        name = _name(event)
        self._in_work.pop(name, None)
        if name in self._ended:
            return False
        self._ended[name] = None
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
        self._documents.labels(outcome, engine).inc()
        if self._tenants is not None:
            self._tenants[0].labels(self._tenant(event.tenant), outcome).inc()
        return True

    def _observe(self, stage: str, took: timedelta) -> None:
        self._stages.labels(stage).observe(max(0.0, took.total_seconds()))


def _name(event: DocumentEvent) -> _Name:
    return event.tenant, event.document_id, event.requeues
