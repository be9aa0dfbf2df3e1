"""Estimates of when documents end: the queue simulated by what former documents took."""

import pytest

from ilios.edge.queue_estimates import (
    LEAST_SAMPLES,
    Means,
    Running,
    Throughput,
    done,
    estimate,
    in_order,
    remaining,
)
from schemas.records import QueuedDocument
from tests import events

PDF = ("local", "application/pdf", 10)


def queued(number: int, tenant: str = "default", priority: int = 5) -> QueuedDocument:
    return QueuedDocument(tenant, events.id_of(number), priority, number, "application/pdf", 1000)


def name(number: int, tenant: str = "default") -> tuple[str, str]:
    return tenant, events.id_of(number)


def numbers(documents: list[QueuedDocument]) -> list[int]:
    return [document.sequence for document in in_order(documents)]


def test_documents_of_a_tenant_are_taken_in_order_and_urgent_ones_first() -> None:
    assert numbers([queued(2), queued(1), queued(3)]) == [1, 2, 3]
    assert numbers([queued(1), queued(2), queued(3, priority=9)]) == [3, 1, 2]


def test_tenants_have_turns_whatever_the_first_has_submitted() -> None:
    ours = [queued(number) for number in range(1, 5)]
    assert numbers([*ours, queued(9, "acme")]) == [1, 9, 2, 3, 4]


def test_the_end_of_a_document_is_after_those_before_it() -> None:
    documents = [queued(number) for number in range(1, 5)]
    expected = {name(number): 2.0 for number in range(1, 5)}
    found = estimate(documents, {}, expected, processes=2, rate=2.0)
    assert [found[name(number)].seconds for number in range(1, 5)] == [2.0, 2.0, 4.0, 4.0]
    assert [found[name(number)].position for number in range(1, 5)] == [0, 1, 2, 3]
    slower = estimate(documents, {}, expected, processes=2, rate=1.0)
    assert slower[name(4)].seconds == 8.0


def test_a_position_counts_no_documents_of_others_and_the_time_does() -> None:
    documents = [queued(1, "acme"), queued(2, "acme"), queued(3)]
    expected = {name(1, "acme"): 5.0, name(2, "acme"): 5.0, name(3): 5.0}
    found = estimate(documents, {}, expected, processes=1, rate=1.0)
    assert (found[name(3)].position, found[name(3)].seconds) == (0, 10.0)


def test_a_document_in_work_is_estimated_by_its_pages_and_the_next_waits_for_it() -> None:
    running = {name(1): Running(page=25, of=100, seconds=10.0)}
    found = estimate([queued(1), queued(2)], running, {name(2): 1.0}, processes=1, rate=1.0)
    assert (found[name(1)].seconds, found[name(2)].seconds) == (30.0, 31.0)
    assert (found[name(1)].position, found[name(2)].position) == (0, 1)


def test_behind_a_document_that_cannot_be_estimated_there_is_no_time() -> None:
    expected = {name(1): 1.0, name(2): None, name(3): 1.0}
    found = estimate([queued(1), queued(2), queued(3)], {}, expected, processes=1, rate=1.0)
    assert [found[name(number)].seconds for number in (1, 2, 3)] == [1.0, None, None]
    assert found[name(3)].position == 2


def test_without_pages_a_document_in_work_never_has_a_negative_rest() -> None:
    assert remaining(Running(0, 10, 1.0), 5.0) == 4.0
    assert remaining(Running(0, 10, 60.0), 5.0) == 0.5
    assert remaining(Running(0, 10, 60.0), None) is None


def test_the_first_of_many_pages_says_little_about_the_others() -> None:
    early, late = Running(1, 100, 2.0), Running(90, 100, 18.0)
    assert remaining(early, None) == 198.0
    by_kind = remaining(early, 10.0)
    assert by_kind is not None
    assert 8.0 < by_kind < 11.0
    by_pages = remaining(late, 10.0)
    assert by_pages is not None
    assert 0.5 < by_pages < 2.0


def test_a_document_is_expected_to_take_as_long_as_those_of_its_kind() -> None:
    means = Means()
    for _ in range(LEAST_SAMPLES):
        assert means.expected(PDF) is None
        means.add(PDF, 2.0)
    assert means.expected(PDF) == 2.0
    larger = means.expected(("local", "application/pdf", 14))
    assert larger is not None
    assert 2.0 < larger < 32.0
    assert means.expected(("local", "image/png", 10)) == 2.0, "nothing closer has ended"
    means.add(("local", "image/png", 12), 9.0)
    assert means.expected(("local", "image/png", 12)) == 9.0


def test_the_rate_follows_what_ends_and_forgets_idle_times() -> None:
    throughput = Throughput(processes=4)
    throughput.observe(0.0, busy=True)
    assert throughput.rate(0.0, [], one_second) == 4.0
    for second in range(1, 31):
        throughput.add(float(second), PDF)
    assert throughput.rate(30.0, [], one_second) == pytest.approx(1.3, abs=0.1)
    throughput.observe(31.0, busy=False)
    throughput.observe(600.0, busy=True)
    assert throughput.rate(600.0, [], one_second) == 4.0


def one_second(_: object) -> float:
    return 1.0


def test_documents_that_all_take_longer_now_change_the_rate_as_they_change_the_queue() -> None:
    throughput = Throughput(processes=1)
    throughput.observe(0.0, busy=True)
    for second in range(1, 31):
        throughput.add(float(second), PDF)
    before = throughput.rate(30.0, [], one_second)
    assert throughput.rate(30.0, [], lambda _: 2.0) == pytest.approx(2 * before, rel=0.1)


@pytest.mark.parametrize(
    ("page", "seconds", "worked"), [(0, 1.0, 1.0), (0, 9.0, 4.0), (50, 9.0, 2.0)]
)
def test_the_work_that_is_done_is_counted_by_pages_where_they_are_known(
    page: int, seconds: float, worked: float
) -> None:
    assert done(Running(page, 100, seconds), 4.0) == worked
