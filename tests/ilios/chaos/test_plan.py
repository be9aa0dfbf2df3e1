"""A plan has exactly the kills asked for; faults wait until they are due, and for progress."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilios.chaos.documents import SampleDocument
from ilios.chaos.http_client import Activities
from ilios.chaos.plan import (
    LAST_SHARE,
    Fault,
    FaultInjector,
    Stalled,
    max_accepted,
    max_kills,
    plan,
)
from ilios.chaos.processes import NoSuchProcess
from ilios.chaos.record import RunRecord
from tests.waiting import wait_until


@st.composite
def runs(draw: st.DrawFn) -> tuple[int, int, int]:
    """Return documents, kills and seed of a possible run."""
    documents = draw(st.integers(2, 600))
    return documents, draw(st.integers(0, max_kills(documents))), draw(st.integers(0, 9999))


@settings(deadline=None)
@given(runs())
def test_a_plan_has_exactly_the_kills_asked_for_and_ends_with_one(
    run: tuple[int, int, int],
) -> None:
    documents, kills, seed = run
    faults = plan(documents, kills, seed)
    assert faults == plan(documents, kills, seed)
    assert sum(fault.kills for fault in faults) == kills
    assert not faults or faults[-1].kills


@settings(deadline=None)
@given(runs())
def test_faults_are_in_order_and_due_by_what_may_be_accepted_before_them(
    run: tuple[int, int, int],
) -> None:
    documents, kills, seed = run
    faults = plan(documents, kills, seed)
    moments = [fault.progress for fault in faults]
    assert moments == sorted(moments)
    assert not moments or moments[-1] <= max(1, 2 * documents * LAST_SHARE)
    for injected, moment in enumerate(moments):
        assert moment <= 2 * max_accepted(documents, len(faults), injected, ended=0)


def test_faults_are_spread_over_the_work() -> None:
    thirds = [fault.progress * 3 // 900 for fault in plan(500, 60, seed=1)]
    assert min(thirds.count(third) for third in range(3)) > 15


def test_every_process_is_killed_and_paused_by_some_seed() -> None:
    faults = [fault for seed in range(20) for fault in plan(300, 40, seed)]
    for action, targets in {
        "kill": {"service", "edge", "nats-server", "engine", "all"},
        "pause": {"service", "edge", "nats-server", "engine"},
        "kill twice": {"service", "all"},
    }.items():
        assert {fault.target for fault in faults if fault.action == action} == targets


def test_documents_wait_for_the_faults_until_the_last_is_injected() -> None:
    assert max_accepted(500, 68, 0, ended=0) < 50
    assert max_accepted(500, 68, 34, ended=200) < 300
    assert max_accepted(500, 68, 68, ended=400) == 500
    assert max_accepted(500, 0, 0, ended=0) == 500


def test_when_all_has_ended_one_more_is_accepted_or_there_would_be_no_progress() -> None:
    assert max_accepted(500, 68, 0, ended=499) == 500


class FakeService:
    """Records what is done to it; ``absent`` processes do not exist."""

    def __init__(self) -> None:
        self.exit_code: int | None = None
        self.done: list[str] = []
        self.absent: set[str] = set()

    async def start(self) -> None:
        self.done.append("start")
        self.exit_code = None

    async def spawn(self) -> None:
        self.done.append("spawn")
        self.exit_code = None

    async def kill(self, target: str) -> None:
        if target in self.absent:
            raise NoSuchProcess(target)
        self.done.append(f"kill {target}")
        if target in ("service", "all"):
            self.exit_code = -9

    async def pause(self, target: str, seconds: float) -> None:
        self.done.append(f"pause {target} {seconds}")

    def log_tail(self) -> str:
        return "no space left on device"


class Scene:
    """An injector over a fake service, and a record that the test fills."""

    def __init__(
        self,
        injector: FaultInjector,
        service: FakeService,
        record: RunRecord,
        activities: Activities,
        clients_done: asyncio.Event,
    ) -> None:
        self.injector = injector
        self.service = service
        self.record = record
        self.activities = activities
        self.clients_done = clients_done

    def accept(self) -> None:
        number = len(self.record.documents) + 1
        submission = self.record.add_submission(SampleDocument(number), "submit")
        self.record.record_accepted(f"id-{number}", submission, float(number))

    def end(self, name: str) -> None:
        self.record.record_state(name, "completed", None, asked_at=1.0, now=1.0)

    @contextmanager
    def injecting(self, *faults: Fault) -> Iterator["asyncio.Task[None]"]:
        task = asyncio.create_task(self.injector.inject_all(list(faults)))
        try:
            yield task
        finally:
            task.cancel()


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    service: Any = FakeService()
    record = RunRecord()
    done = asyncio.Event()

    async def work() -> None:
        await done.wait()

    working = asyncio.create_task(work())
    activities = Activities()
    injector = FaultInjector(
        service, record, working, activities, stalled_after=1.0, found_within=0.05
    )
    yield Scene(injector, service, record, activities, done)
    working.cancel()


async def test_a_fault_waits_until_it_is_due_and_the_next_one_for_progress(
    scene: Scene,
) -> None:
    with scene.injecting(Fault(1, "service"), Fault(1, "engine")) as injecting:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(injecting), 0.1)
        assert scene.service.done == []
        scene.accept()
        await wait_until(lambda: scene.service.done == ["kill service", "start"])
        await wait_until(lambda: scene.injector.awaiting_progress)
        scene.accept()
        await wait_until(lambda: scene.service.done[2:] == ["kill engine"])
        scene.accept()
        await injecting
    assert scene.injector.kills == 2


async def test_after_a_fault_that_hits_when_all_has_ended_the_clients_alone_are_awaited(
    scene: Scene,
) -> None:
    scene.accept()
    scene.end("id-1")
    with scene.injecting(Fault(1, "service")) as injecting:
        await wait_until(lambda: scene.injector.awaiting_progress)
        scene.clients_done.set()  # their last request was a DELETE
        await injecting
    (injected,) = scene.injector.injected
    assert injected.recovered_after is None
    assert not scene.injector.awaiting_progress


async def test_a_service_that_is_killed_while_it_starts_is_started_once_more(scene: Scene) -> None:
    scene.accept()
    with scene.injecting(Fault(1, "service", "kill twice")) as injecting:
        await wait_until(lambda: scene.injector.awaiting_progress)
        scene.accept()
        await injecting
    assert scene.service.done == ["kill service", "spawn", "kill all", "start"]
    assert scene.injector.kills == 2
    assert scene.record.violations == []


async def test_instead_of_a_process_that_does_not_exist_the_service_is_killed(
    scene: Scene,
) -> None:
    scene.service.absent.add("engine")
    scene.accept()
    with scene.injecting(Fault(1, "engine")):
        await wait_until(lambda: scene.service.done == ["kill service", "start"])


async def test_a_service_that_ends_by_itself_is_a_violation_and_started_again(scene: Scene) -> None:
    with scene.injecting(Fault(1, "engine")):
        scene.service.exit_code = 3
        await wait_until(lambda: scene.service.done == ["start"])
    assert [violation.kind for violation in scene.record.violations] == ["ended by itself"]


async def test_a_stall_is_reported_with_what_everybody_waits_for(scene: Scene) -> None:
    scene.accept()
    with scene.activities.doing("delete"):
        scene.activities.attempt("DELETE /api/documents/id-1")
        scene.activities.result("503 not_ready")
        with pytest.raises(Stalled) as stalled:
            await scene.injector.inject_all([Fault(3, "engine")])
    message = str(stalled.value)
    assert "under way: id-1 pending" in message
    assert "s: DELETE /api/documents/id-1, 1 attempts, the last result: 503" in message
    assert "no space left on device" in message
