"""The bus hangs, or is gone for a while: nothing new is promised, and all that was is kept."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.journeys.running import RunningService, running
from tests.journeys.visitors import Visitor, billed, ended
from tests.waiting import until

UNDER_WAY = 6  # documents
WITHIN = 90.0  # seconds; a machine under load is slow, not wrong


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[RunningService]:
    async with running(tmp_path) as service:
        yield service


@pytest.fixture
async def visitor(service: RunningService) -> AsyncIterator[Visitor]:
    """Somebody who has a completed document, and others under way."""
    visitor = Visitor(service, pages=20)
    assert await visitor.is_accepted()
    (done,) = visitor.promised
    await until(lambda: states(service).get(done) == "completed", within=WITHIN)
    for _ in range(UNDER_WAY):
        assert await visitor.is_accepted()
    yield visitor
    await visitor.close()


def states(service: RunningService) -> dict[str, str]:
    return ended(service.data_dir / "ilios.db")


async def still_reads(visitor: Visitor) -> None:
    done, words = next(iter(visitor.promised.items()))
    assert await visitor.text(done) == words
    assert await visitor.state(done) == "completed"
    assert (await visitor.ask("GET", "/livez")).status == 200


async def all_are_completed_and_billed_once(service: RunningService, visitor: Visitor) -> None:
    await until(lambda: visitor.promised.keys() <= states(service).keys(), within=WITHIN)
    await until(lambda: set(states(service).values()) == {"completed"}, within=WITHIN)
    assert billed(service.data_dir / "ilios.db") == sorted(states(service))
    for document, words in visitor.promised.items():
        assert await visitor.text(document) == words


async def test_a_bus_that_hangs_is_replaced_and_nothing_is_lost(
    service: RunningService, visitor: Visitor
) -> None:
    (hung,) = service.children("nats-server")
    os.kill(hung, signal.SIGSTOP)
    await still_reads(visitor)
    answer = await visitor.submit()
    assert answer.status in (202, 503), "by then another may have taken its place"
    assert "Retry-After" in answer.headers
    await until(lambda: service.children("nats-server") not in ([], [hung]), within=WITHIN)
    await until(visitor.is_accepted, within=WITHIN)
    await all_are_completed_and_billed_once(service, visitor)


async def test_while_the_bus_cannot_start_submits_are_refused_and_it_comes_back_by_itself(
    service: RunningService, visitor: Visitor
) -> None:
    configuration = service.data_dir / "nats" / "nats.conf"
    text = configuration.read_text()
    configuration.write_text("this is no configuration {")
    await service.kill("nats-server")

    async def is_refused() -> bool:
        answer = await visitor.submit()
        return answer.status == 503 and "Retry-After" in answer.headers

    await until(is_refused, within=WITHIN)
    await still_reads(visitor)
    assert "nats-server" in await visitor.problem()
    assert not service.has_ended

    configuration.write_text(text)
    await until(visitor.is_accepted, within=WITHIN)
    await all_are_completed_and_billed_once(service, visitor)
