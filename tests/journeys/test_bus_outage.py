"""While the bus hangs or is down nothing is accepted, and every accepted document is completed."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.journeys.running import RunningService, running_service
from tests.journeys.service_client import ServiceClient, billed_documents, document_states
from tests.waiting import wait_until

UNDER_WAY = 6  # documents
WITHIN = 90.0  # seconds; a machine under load is slow, not wrong


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[RunningService]:
    async with running_service(tmp_path) as service:
        yield service


@pytest.fixture
async def client(service: RunningService) -> AsyncIterator[ServiceClient]:
    """Somebody who has a completed document, and others under way."""
    visitor = ServiceClient(service, pages=20)
    assert await visitor.is_accepted()
    (done,) = visitor.accepted_texts
    await wait_until(lambda: states(service).get(done) == "completed", within=WITHIN)
    for _ in range(UNDER_WAY):
        assert await visitor.is_accepted()
    yield visitor
    await visitor.close()


def states(service: RunningService) -> dict[str, str]:
    return document_states(service.data_dir / "ilios.db")


async def still_reads(client: ServiceClient) -> None:
    done, words = next(iter(client.accepted_texts.items()))
    assert await client.first_line(done) == words
    assert await client.status(done) == "completed"
    assert (await client.send("GET", "/livez")).status == 200


async def all_are_completed_and_billed_once(service: RunningService, client: ServiceClient) -> None:
    await wait_until(lambda: client.accepted_texts.keys() <= states(service).keys(), within=WITHIN)
    await wait_until(lambda: set(states(service).values()) == {"completed"}, within=WITHIN)
    assert billed_documents(service.data_dir / "ilios.db") == sorted(states(service))
    for document, words in client.accepted_texts.items():
        assert await client.first_line(document) == words


@pytest.mark.slow
async def test_a_bus_that_hangs_is_replaced_and_nothing_is_lost(
    service: RunningService, client: ServiceClient
) -> None:
    (hung,) = service.children("nats-server")
    os.kill(hung, signal.SIGSTOP)
    await still_reads(client)
    answer = await client.submit()
    assert answer.status in (202, 503), "by then another may have taken its place"
    assert "Retry-After" in answer.headers
    await wait_until(lambda: service.children("nats-server") not in ([], [hung]), within=WITHIN)
    await wait_until(client.is_accepted, within=WITHIN)
    await all_are_completed_and_billed_once(service, client)


@pytest.mark.slow
async def test_while_the_bus_cannot_start_submits_are_refused_and_it_comes_back_by_itself(
    service: RunningService, client: ServiceClient
) -> None:
    configuration = service.data_dir / "nats" / "nats.conf"
    text = configuration.read_text()
    configuration.write_text("this is no configuration {")
    await service.kill("nats-server")

    async def is_refused() -> bool:
        answer = await client.submit()
        return answer.status == 503 and "Retry-After" in answer.headers

    await wait_until(is_refused, within=WITHIN)
    await still_reads(client)
    assert "nats-server" in await client.health_error()
    assert not service.has_ended

    configuration.write_text(text)
    await wait_until(client.is_accepted, within=WITHIN)
    await all_are_completed_and_billed_once(service, client)
