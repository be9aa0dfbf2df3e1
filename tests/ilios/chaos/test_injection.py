"""Faults come in their turn; a service that ends by itself or stands still is noticed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ilios.chaos import injection as module
from ilios.chaos.documents import SampleDocument
from ilios.chaos.expectations import RunRecord
from ilios.chaos.injection import FaultInjector, Stalled
from ilios.chaos.plan import Fault
from ilios.chaos.processes import NoSuchProcess
from tests.waiting import wait_until


class FakeService:
    """Notes what is done to it; ``absent`` are not there to be hit."""

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

    async def kill(self, victim: str) -> None:
        if victim in self.absent:
            raise NoSuchProcess(victim)
        self.done.append(f"kill {victim}")
        if victim in ("service", "all"):
            self.exit_code = -9

    async def pause(self, victim: str, seconds: float) -> None:
        self.done.append(f"pause {victim} {seconds}")

    def log_tail(self) -> str:
        return "nobody answers any more"


class Scene:
    """Faults over a service that only notes them, and a book to be filled by the test."""

    def __init__(self, injector: FaultInjector, service: FakeService, record: RunRecord) -> None:
        self.injector = injector
        self.service = service
        self.record = record

    def accept(self) -> None:
        number = len(self.record.documents) + 1
        submission = self.record.add_submission(SampleDocument(number), "submit")
        self.record.record_accepted(f"id-{number}", submission, float(number))

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
    book = RunRecord()
    working = asyncio.create_task(asyncio.sleep(600))
    yield Scene(FaultInjector(service, book, working), service, book)
    working.cancel()


async def test_a_fault_waits_for_its_moment_and_the_next_one_for_something_to_go_on(
    scene: Scene,
) -> None:
    with scene.injecting(Fault(1, "service"), Fault(1, "engine")) as carrying:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(carrying), 0.1)
        assert scene.service.done == []
        scene.accept()
        await wait_until(lambda: scene.service.done == ["kill service", "start"])
        await wait_until(lambda: scene.injector.awaiting_progress)
        scene.accept()
        await wait_until(lambda: scene.service.done[2:] == ["kill engine"])
        scene.accept()
        await carrying
    assert scene.injector.kills == 2


async def test_a_service_that_is_killed_while_it_starts_is_started_once_more(scene: Scene) -> None:
    scene.accept()
    with scene.injecting(Fault(1, "service", "kill twice")) as carrying:
        await wait_until(lambda: scene.injector.awaiting_progress)
        scene.accept()
        await carrying
    assert scene.service.done == ["kill service", "spawn", "kill all", "start"]
    assert scene.injector.kills == 2
    assert scene.record.violations == []


async def test_for_somebody_who_is_not_there_the_service_is_killed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FOUND_WITHIN", 0.05)
    scene.service.absent.add("engine")
    scene.accept()
    with scene.injecting(Fault(1, "engine")):
        await wait_until(lambda: scene.service.done == ["kill service", "start"])


async def test_a_service_that_ends_by_itself_is_noted_and_started_again(scene: Scene) -> None:
    with scene.injecting(Fault(1, "engine")):
        scene.service.exit_code = 3
        await wait_until(lambda: scene.service.done == ["start"])
    assert [violation.kind for violation in scene.record.violations] == ["ended by itself"]


async def test_a_stall_is_reported_with_the_last_log_lines_of_the_service(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STALLED_AFTER", 0.05)
    with pytest.raises(Stalled, match="nobody answers any more"):
        await scene.injector.inject_all([Fault(1, "engine")])
