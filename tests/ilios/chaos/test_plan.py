"""A plan has as many kills as were asked for, spread so that the work goes on between them."""

import pytest

from ilios.chaos.plan import LAST_SHARE, max_accepted, max_kills, plan

SIZES = [(1, 0), (25, 4), (25, 3), (300, 40), (500, 60), (20, max_kills(20))]


@pytest.mark.parametrize(("documents", "kills"), SIZES)
@pytest.mark.parametrize("seed", range(20))
def test_there_are_exactly_as_many_kills_as_asked_for(
    documents: int, kills: int, seed: int
) -> None:
    assert sum(fault.kills for fault in plan(documents, kills, seed)) == kills


def test_a_seed_is_a_plan() -> None:
    assert plan(300, 40, 7) == plan(300, 40, 7) != plan(300, 40, 8)


def test_everybody_is_killed_and_paused_by_some_seed() -> None:
    faults = [fault for seed in range(20) for fault in plan(300, 40, seed)]
    for how, victims in {
        "kill": {"service", "nats-server", "engine", "all"},
        "pause": {"service", "nats-server", "engine"},
        "kill twice": {"service", "all"},
    }.items():
        assert {fault.target for fault in faults if fault.action == how} == victims


@pytest.mark.parametrize(("documents", "kills"), SIZES)
@pytest.mark.parametrize("seed", range(20))
def test_every_fault_becomes_due_by_what_may_be_accepted_before_it(
    documents: int, kills: int, seed: int
) -> None:
    faults = plan(documents, kills, seed)
    for done, fault in enumerate(faults):
        assert fault.progress <= 2 * max_accepted(documents, len(faults), done, ended=0)


@pytest.mark.parametrize("seed", range(20))
def test_faults_are_spread_over_the_work_and_leave_some_for_after_the_last(seed: int) -> None:
    moments = [fault.progress for fault in plan(500, 60, seed)]
    assert moments == sorted(moments)
    thirds = [sum(moment * 3 // 900 == third for moment in moments) for third in range(3)]
    assert min(thirds) > 15
    assert moments[-1] <= 2 * 500 * LAST_SHARE


@pytest.mark.parametrize("seed", range(20))
def test_the_last_fault_is_a_kill(seed: int) -> None:
    assert plan(25, 2, seed)[-1].kills


def test_documents_wait_for_the_faults_until_the_last_is_done() -> None:
    assert max_accepted(500, 68, 0, ended=0) < 50
    assert max_accepted(500, 68, 34, ended=200) < 300
    assert max_accepted(500, 68, 68, ended=400) == 500
    assert max_accepted(500, 0, 0, ended=0) == 500


@pytest.mark.parametrize("ended", [0, 10, 82, 499])
def test_when_all_has_ended_more_may_be_accepted_or_no_fault_would_see_anything_go_on(
    ended: int,
) -> None:
    assert max_accepted(500, 68, 0, ended=ended) > ended
