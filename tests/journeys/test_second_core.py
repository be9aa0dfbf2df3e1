"""A second core on one log: it waits for nobody, is refused by name, or takes over for good."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bus.connection import connect
from bus.event_log import EventLog
from bus.failpoints import Failpoint
from bus.pull import EXPIRES
from ilios.chaos.processes import EDGE, DidNotStart
from ilios.nats.server import NatsServer
from tests.journeys.commands import run_ilios
from tests.journeys.running import RunningService, running_service
from tests.journeys.service_client import ServiceClient, document_states
from tests.waiting import wait_until

DOCUMENTS, DOCUMENTS_FOR_LONG = 20, 100


class Core(RunningService):
    """`ilios serve` that takes over, or that stops by itself at a failpoint."""

    takes_over = False
    stopped_at: Failpoint | None = None

    def command(self) -> tuple[str, ...]:
        if self.stopped_at is not None:
            return ("-m", "tests.journeys.stopped", self.stopped_at, "serve")
        return (*super().command(), *(["--take-over"] if self.takes_over else []))

    @property
    def is_stopped(self) -> bool:
        """Whether the process is stopped by a signal."""
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    async def end(self) -> int:
        """Wait until it ends by itself; returns the exit code."""
        async with asyncio.timeout(30):
            return await self._started.wait()


@asynccontextmanager
async def cores(*all_of_them: Core) -> AsyncIterator[None]:
    """End what is left of them."""
    try:
        yield
    finally:
        for core in all_of_them:
            if core._process is not None and not core.has_ended:  # of our own class
                os.kill(core.pid, signal.SIGCONT)
                await core.stop()


@pytest.fixture
def shared(nats_server: NatsServer, tmp_path: Path) -> dict[str, str]:
    """The settings of cores with one log and the same blobs."""
    return {"NATS_URL": nats_server.url("operator"), "ILIOS_SHARED_BLOBS": str(tmp_path / "blobs")}


async def completions(server: NatsServer) -> Counter[str]:
    """Return how often the log has the completion of each document."""
    found: Counter[str] = Counter()
    async with connect(server.url("operator"), name="tests") as connection:
        for message in await EventLog(connection).read_all("ilios.document.completed.>"):
            found[message.subject.rpartition(".")[2]] += 1
    return found


async def test_a_second_core_is_refused_by_the_name_of_the_first(
    shared: dict[str, str], tmp_path: Path
) -> None:
    named = shared | {"ILIOS_HOST_NAME": "first-host"}
    async with running_service(tmp_path / "one", **named) as one, ServiceClient(one) as client:
        async with asyncio.timeout(EXPIRES - 5):  # it waits for no reader to vanish
            ended = await run_ilios(tmp_path / "two", "serve", armed=None, PORT="0", **shared)
        assert ended.code == 3
        for part in (str(tmp_path / "one"), "first-host", "since", "--take-over"):
            assert part in ended.errors
        assert await client.is_accepted()


@pytest.mark.slow
async def test_a_core_that_was_killed_is_back_at_once_and_others_are_refused_meanwhile(
    shared: dict[str, str], tmp_path: Path
) -> None:
    async with running_service(tmp_path / "one", **shared) as one, ServiceClient(one) as client:
        await one.kill("all")
        ended = await run_ilios(tmp_path / "two", "serve", armed=None, PORT="0", **shared)
        assert ended.code == 3
        began = time.monotonic()
        await one.start()
        assert time.monotonic() - began < EXPIRES / 2
        assert await client.is_accepted()
        await one.stop()
        # Its epoch is given back.
        async with running_service(tmp_path / "two", **shared):
            pass


@pytest.mark.slow
async def test_of_two_cores_that_start_at_once_one_works(
    shared: dict[str, str], tmp_path: Path
) -> None:
    both = Core(tmp_path / "one", **shared), Core(tmp_path / "two", **shared)
    async with cores(*both):
        found = await asyncio.gather(*(core.start() for core in both), return_exceptions=True)
        (works,) = (core for core, error in zip(both, found, strict=True) if error is None)
        (refused,) = (core for core in both if core is not works)
        assert await refused.end() == 3
        assert sum(isinstance(error, DidNotStart) for error in found) == 1
        async with ServiceClient(works) as client:
            assert await client.is_accepted()


@pytest.mark.slow
async def test_a_core_that_is_replaced_ends_with_its_edge_and_says_why(
    shared: dict[str, str], tmp_path: Path
) -> None:
    one, two = Core(tmp_path / "one", **shared), Core(tmp_path / "two", **shared)
    one.log, two.takes_over, two.log = tmp_path / "one.log", True, tmp_path / "two.log"
    async with cores(one, two):
        await one.start()
        async with ServiceClient(one) as client:
            accepted = [await client.is_accepted() for _ in range(3)]
            assert all(accepted)
            await two.start()
            assert await one.end() == 3
        assert "its log belongs to another core now: ilios" in one.log.read_text()
        assert str(tmp_path / "two") in one.log.read_text()

        async def all_completed() -> bool:
            states = document_states(two.data_dir / "ilios.db")
            return Counter(states.values()) == {"completed": 3}

        await wait_until(all_completed, 60)


async def _wakes_too_late(
    server: NatsServer,
    root: Path,
    shared: dict[str, str],
    point: Failpoint,
    count: int,
    seconds: float,
) -> None:
    """Replace a core while it is stopped at a point, and let it go on afterwards."""
    # In one process, or the edge would reach its points in a process that is not armed.
    inside = {"ILIOS_EDGE_PROCESSES": "0"} if point.startswith("edge.") else {}
    one, two = Core(root / "one", **shared, **inside), Core(root / "two", **shared)
    one.stopped_at, one.log, two.takes_over = point, root / "one.log", True
    async with cores(one, two), ServiceClient(one) as first, ServiceClient(two) as second:
        await one.start()
        submitting = [asyncio.create_task(first.is_accepted()) for _ in range(count)]
        await wait_until(lambda: one.is_stopped)
        await two.start()
        accepted = await asyncio.gather(*(second.is_accepted() for _ in range(count)))
        assert all(accepted)
        await wait_until(lambda: not one.children(EDGE))  # it ends, although its core is stopped
        await asyncio.sleep(seconds)
        os.kill(one.pid, signal.SIGCONT)
        assert await one.end() == 3
        await asyncio.gather(*submitting, return_exceptions=True)
        names = first.accepted_texts.keys() | second.accepted_texts.keys()

        async def all_completed() -> bool:
            states = document_states(two.data_dir / "ilios.db")
            return all(states.get(name) == "completed" for name in names)

        await wait_until(all_completed, 90)
        assert set(document_states(two.data_dir / "ilios.db").values()) == {"completed"}
    done = await completions(server)
    assert set(done.values()) == {1}
    assert names <= done.keys()


@pytest.mark.slow
async def test_a_core_that_wakes_after_it_was_replaced_announces_nothing(
    nats_server: NatsServer, shared: dict[str, str], tmp_path: Path
) -> None:
    await _wakes_too_late(nats_server, tmp_path, shared, "persister.committed", DOCUMENTS, 0)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("point", ["persister.committed", "actor.answered", "edge.stored"])
async def test_a_core_that_was_stopped_for_long_does_nothing_when_it_wakes(
    nats_server: NatsServer, shared: dict[str, str], tmp_path: Path, point: Failpoint
) -> None:
    await _wakes_too_late(nats_server, tmp_path, shared, point, DOCUMENTS_FOR_LONG, 40)
