"""The report names what was broken, and whether documents ended in time."""

import msgspec

from ilios.chaos.record import Violation
from ilios.chaos.report import MAX_LISTED, Report, ends_after, late_documents, percentiles, render
from tests.ilios.chaos.sample_run import CANCELLED, GOOD, SampleRun


def _report(*violations: Violation, late: float = 1.0) -> Report:
    return Report(
        seed=7,
        kills=3,
        pauses=1,
        elapsed=12.0,
        accepted=6,
        completed=2,
        failed={"corrupt": 1},
        removed=2,
        refused={"503 bus_unavailable": 2},
        unanswered=1,
        landed={"unanswered, completed": 1},
        violations=violations,
        within=30.0,
        ends_after=percentiles([0.1] * 50 + [late]),
        lasted=percentiles([0.2]),
        up_after=percentiles([0.5]),
        on_after={},
        orphans=4,
    )


def test_a_report_without_violations_is_written() -> None:
    report = _report()
    assert report.passed
    assert "BROKEN" not in render(report)
    assert "TOO LATE" not in render(report)


def test_a_broken_promise_is_named_with_its_document() -> None:
    report = _report(Violation("not billed", "some-id", "it has 3 pages and no bill"))
    assert not report.passed
    broken = [line for line in render(report).splitlines() if "BROKEN" in line]
    assert [line.split("  ")[0] for line in broken] == ["not billed"]
    assert "some-id  it has 3 pages and no bill" in render(report)


def test_of_many_broken_promises_the_table_shows_some_and_json_has_all() -> None:
    report = _report(
        *(Violation("lost", f"id-{number}", "gone") for number in range(MAX_LISTED + 5))
    )
    assert render(report).count("gone") == MAX_LISTED
    assert "and 5 more" in render(report)
    assert len(msgspec.to_builtins(report)["violations"]) == MAX_LISTED + 5


def test_the_last_of_a_hundred_may_take_twice_as_long_as_the_rest() -> None:
    assert not _report(late=15.0).is_late
    assert _report(late=15.1).is_late
    assert "TOO LATE" in render(_report(late=15.1))
    assert not _report(late=15.1).passed


def test_a_document_that_has_not_ended_in_time_is_stuck() -> None:
    run = SampleRun()
    document = run.record.documents[GOOD]
    document.ended_at, document.state = None, "processing"
    assert late_documents(run.record, last_at=100.0, within=30.0, now=130.0) == []
    (stuck,) = late_documents(run.record, last_at=100.0, within=30.0, now=131.0)
    assert (stuck.kind, stuck.name) == ("stuck", GOOD)


def test_a_document_that_ended_too_late_is_stuck_as_well() -> None:
    run = SampleRun()
    run.record.documents[GOOD].ended_at = 140.0
    (stuck,) = late_documents(run.record, last_at=100.0, within=30.0, now=200.0)
    assert stuck.name == GOOD
    assert "40.0 s" in stuck.what


def test_a_document_that_came_long_after_the_last_fault_has_as_much_time() -> None:
    run = SampleRun()
    document = run.record.documents[GOOD]
    document.accepted_at, document.ended_at = 190.0, 210.0
    assert late_documents(run.record, last_at=100.0, within=30.0, now=300.0) == []


def test_time_counts_from_the_acceptance_of_what_came_after_the_last_fault() -> None:
    run = SampleRun()
    early, late = run.record.documents[GOOD], run.record.documents[CANCELLED]
    early.accepted_at, early.ended_at = 50.0, 102.0
    late.accepted_at, late.ended_at = 110.0, 111.0
    found = ends_after(run.record, last_at=100.0)
    assert found is not None
    assert (found.count, found.p50, found.most) == (2, 1.0, 2.0)
