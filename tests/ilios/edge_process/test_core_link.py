"""What one process learns of the other over the channel."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ilios.database.sqlite import DamageMonitor, DatabaseDamaged
from ilios.edge_process import core_link, messages
from ilios.edge_process.channel import Channel
from ilios.edge_process.core_link import CoreLink, ForwardedPublishStats
from ilios.edge_process.messages import (
    DamageMet,
    FromCore,
    FromEdge,
    HealthAnswered,
    HealthAsked,
    PasswordSealed,
    PublishesAnswered,
    PublishRefused,
    PublishTimedOut,
    State,
)
from ilios.integrity.faults import Fault
from schemas.service_replies import HealthReport
from tests.waiting import wait_until

NO_FAULTS = State({}, None)
DATABASE = Path("ilios.db")


class Ends:
    """Both ends of a channel; ``link`` is at that of the edge."""

    def __init__(self, core: Channel[FromEdge], edge: Channel[FromCore]) -> None:
        self.core = core
        self.edge = edge
        self.damage = DamageMonitor(DATABASE)
        self.link = CoreLink(edge, NO_FAULTS, self.damage)


@asynccontextmanager
async def connected() -> AsyncIterator[Ends]:
    ours, theirs = socket.socketpair()
    async with (
        Channel.open(ours, messages.from_edge) as core,
        Channel.open(theirs, messages.from_core) as edge,
    ):
        ends = Ends(core, edge)
        receiving = asyncio.create_task(ends.link.run())
        try:
            yield ends
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)


async def test_a_blocking_fault_of_the_core_blocks_until_it_is_resolved() -> None:
    async with connected() as ends:
        ends.core.send(State({"log": Fault("events are lost", blocking=True)}, None))
        await wait_until(lambda: ends.link.faults.blocking == "events are lost")

        ends.core.send(NO_FAULTS)
        await wait_until(lambda: ends.link.faults.blocking is None)


async def test_a_fault_of_the_edge_outlasts_news_of_the_core() -> None:
    async with connected() as ends:
        ends.link.faults.report("files", "the database is gone", blocking=True)
        ends.core.send(State({"log": Fault("events are lost")}, None))
        await wait_until(lambda: len(ends.link.faults.problems) == 2)

        assert ends.link.faults.blocking == "the database is gone"
        assert ends.link.faults.storage == "the database is gone"


async def test_an_edge_without_a_core_accepts_nothing() -> None:
    async with connected() as ends:
        async with asyncio.timeout(30):
            ours, theirs = socket.socketpair()
            ours.close()
            async with Channel.open(theirs, messages.from_core) as channel:
                link = CoreLink(channel, NO_FAULTS, ends.damage)
                await link.run()
        assert link.is_gone
        assert link.faults.blocking is not None
        assert link.faults.storage is None


async def test_an_edge_whose_core_hangs_accepts_nothing_until_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(core_link, "SILENT_FOR", 0.05)
    async with connected() as ends:
        await wait_until(lambda: ends.link.faults.blocking is not None)
        assert not ends.link.answers

        monkeypatch.setattr(core_link, "SILENT_FOR", 60.0)
        ends.core.send(NO_FAULTS)
        await wait_until(lambda: ends.link.faults.blocking is None)
        assert ends.link.answers


async def test_damage_met_by_the_core_stops_the_queries_of_the_edge() -> None:
    async with connected() as ends:
        ends.core.send(State({}, "a page is malformed"))
        await wait_until(lambda: ends.damage.reason is not None)

        with pytest.raises(DatabaseDamaged, match="a page is malformed"):
            ends.damage.raise_if_damaged()


async def test_damage_met_by_a_thread_of_the_edge_reaches_the_core() -> None:
    async with connected() as ends:
        await asyncio.to_thread(ends.damage.record, "a page is malformed")

        assert await ends.core.receive() == DamageMet("a page is malformed")


async def test_health_is_answered_by_number() -> None:
    async with connected() as ends:
        first = asyncio.create_task(ends.link.health())
        second = asyncio.create_task(ends.link.health())
        asked = [await ends.core.receive(), await ends.core.receive()]
        for question in reversed(asked):
            assert isinstance(question, HealthAsked)
            report = HealthReport(services={}, healthy=True, problems=[str(question.number)])
            ends.core.send(HealthAnswered(question.number, report))

        assert [(await first).problems, (await second).problems] == [["0"], ["1"]]


async def test_a_sealed_password_is_reported_for_its_deletion() -> None:
    async with connected() as ends:
        ends.link.watch_password("tenant", "document")

        assert await ends.core.receive() == PasswordSealed("tenant", "document")


def publishing(stats: ForwardedPublishStats) -> list[Callable[[], None]]:
    return [
        lambda: stats.record_reply(stored=True, latency=0.25),
        lambda: stats.record_timeout(7.0),
        lambda: stats.record_reply(full=True),
    ]


async def test_results_of_publishes_reach_the_core_in_their_order() -> None:
    async with connected() as ends:
        for publish in publishing(ForwardedPublishStats(ends.edge)):
            publish()

        assert [await ends.core.receive() for _ in range(3)] == [
            PublishesAnswered([0.25], full=False),
            PublishTimedOut(7.0),
            PublishesAnswered([], full=True),
        ]


async def test_a_log_without_leader_reaches_the_core() -> None:
    async with connected() as ends:
        ForwardedPublishStats(ends.edge).record_no_leader()

        assert await ends.core.receive() == PublishRefused()
