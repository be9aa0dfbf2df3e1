"""Documents are counted once each, by what the database has of them."""

from datetime import timedelta

from msgspec import structs

from actors.writes import LogEntry
from ilios.metrics.documents import MAX_TENANTS, DocumentMetrics
from schemas.events import AnyEvent
from tests import events


def samples(metrics: DocumentMetrics) -> dict[tuple[str, ...], float]:
    """Return the values of all series by name and values of labels."""
    return {
        (one.name, *one.labels.values()): one.value
        for family in metrics.collect()
        for one in family.samples
    }


def entry(event: AnyEvent, seconds: float) -> LogEntry:
    return LogEntry(1, events.SUBMITTED_AT + timedelta(seconds=seconds), event)


def test_a_document_has_its_stages_pages_and_one_end() -> None:
    metrics = DocumentMetrics()
    converted = structs.replace(events.converted(), seconds=4.0)
    completed = events.completed()
    metrics.observe([entry(events.submitted(), 0), entry(events.fetched(), 2)], ())
    metrics.observe([entry(converted, 9)], [completed])
    metrics.observe([entry(converted, 9)], [completed])  # announced again after a crash

    found = samples(metrics)
    assert found["ilios_documents_submitted_total", "normal"] == 1
    assert found["ilios_documents_total", "completed", completed.engine] == 1
    assert found["ilios_pages_total", completed.engine] == completed.pages
    stage = "ilios_document_stage_duration_seconds_sum"
    assert (found[stage, "fetch"], found[stage, "wait"]) == (2, 3)
    assert found["ilios_document_stage_duration_seconds_count", "total"] == 1
    assert not any("tenant" in name for name, *_ in found)


def test_a_document_that_failed_and_is_cancelled_afterwards_has_failed() -> None:
    metrics = DocumentMetrics()
    failed = events.failed()
    metrics.observe([entry(events.submitted(), 0), entry(failed, 1)], ())
    metrics.observe([entry(events.cancelled(), 2)], ())
    found = samples(metrics)
    assert found["ilios_documents_total", "failed", "none"] == 1
    assert found["ilios_documents_total", "cancelled", "none"] == 0
    assert found["ilios_document_failures_total", failed.code] == 1


def test_tenants_have_series_by_choice_and_up_to_a_number() -> None:
    metrics = DocumentMetrics(tenants=True)
    for number in range(MAX_TENANTS + 5):
        metrics.observe([], [structs.replace(events.completed(number), tenant=f"t{number}")])
    found = samples(metrics)
    tenants = {
        tuple(labels) for name, *labels, _ in found if name == "ilios_tenant_documents_total"
    }
    assert found["ilios_tenant_documents_total", "t0", "completed"] == 1
    assert found["ilios_tenant_documents_total", "other", "completed"] == 5
    assert len(tenants) == MAX_TENANTS + 1
