"""Disconnects and kills at random moments: every client receives each event once, in order."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ilios.chaos.processes import NoSuchProcess
from tests import documents
from tests.free_ports import free_port
from tests.journeys.event_client import EventClient
from tests.journeys.running import RunningService, Target, running_service
from tests.journeys.test_events import reading
from tests.waiting import wait_until

SINGLE_OF_BATCH = 10
"""So many documents are in one batch; as many are submitted alone."""
TENANT_CLIENTS = 3
TARGETS: tuple[Target, ...] = ("service", "nats-server", "edge", "all")
WITHIN = 180.0  # seconds after the last fault


class Run:
    """Clients of one service, whose documents are submitted whatever happens meanwhile."""

    def __init__(self, service: RunningService, url: str) -> None:
        self._service = service
        self.url = url
        self.everything = [EventClient(f"{url}/v1/events") for _ in range(TENANT_CLIENTS)]
        self.of_one: dict[str, EventClient] = {}
        self.batches: dict[str, list[str]] = {}
        self.alone: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def clients(self) -> list[EventClient]:
        return [*self.everything, *self.of_one.values()]

    async def submit(self, number: int, path: str, *contents: bytes) -> Any:
        """Submit until it is accepted, under one key."""
        while True:
            form = aiohttp.FormData()
            for content in contents:
                name = "files" if "batch" in path else "file"
                form.add_field(name, content, filename="page.pdf")
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with (
                    aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
                    session.post(
                        self.url + path, data=form, headers={"Idempotency-Key": f"key{number}"}
                    ) as response,
                ):
                    if response.status == 202:
                        return await response.json()
            await asyncio.sleep(0.2)

    async def submit_all(self, count: int, pause: float) -> None:
        for number in range(0, count, 2 * SINGLE_OF_BATCH):
            pages = [documents.pdf(f"Page {number} {one}") for one in range(SINGLE_OF_BATCH)]
            batch = await self.submit(number, "/v1/batch/submit", *pages)
            self.batches[batch["batchId"]] = [one["id"] for one in batch["documents"]]
            self._listen("batch", batch["batchId"])
            for one in range(SINGLE_OF_BATCH):
                content = b"%PDF-1.7 broken" if one == 0 else documents.pdf(f"{number} {one}")
                made = await self.submit(number + one + 1, "/api/documents/submit", content)
                self.alone.append(made["id"])
                self._listen("documents", made["id"])
            await asyncio.sleep(pause)

    def _listen(self, kind: str, name: str) -> None:
        client = EventClient(f"{self.url}/v1/{kind}/{name}/events")
        self.of_one[name] = client
        self._tasks.append(asyncio.create_task(client.run()))

    async def disturb(self, disconnects: int, kills: int, choose: random.Random) -> None:
        """Disconnect and kill at random moments, in a random order."""
        faults: list[Callable[[], Any]] = [self._disconnect(choose) for _ in range(disconnects)]
        faults += [self._kill(choose.choice(TARGETS)) for _ in range(kills)]
        choose.shuffle(faults)
        for fault in faults:
            await asyncio.sleep(choose.uniform(0, 0.3))
            await fault()

    def _disconnect(self, choose: random.Random) -> Callable[[], Any]:
        async def fault() -> None:
            reading_now = [one for one in self.clients if one.is_connected]
            if reading_now:
                choose.choice(reading_now).disconnect()

        return fault

    def _kill(self, target: Target) -> Callable[[], Any]:
        async def fault() -> None:
            with suppress(NoSuchProcess):
                await self._service.kill(target)
            if self._service.has_ended:
                await self._service.start()

        return fault

    def has_all(self) -> bool:
        ended = all(client.ended for client in self.of_one.values())
        return ended and all(
            len(client.names("batch.completed")) >= len(self.batches)
            and len(client.names("document.completed", "document.failed")) >= self.count
            for client in self.everything
        )

    @property
    def count(self) -> int:
        return len(self.alone) + sum(map(len, self.batches.values()))

    def check(self) -> None:
        """Every client has every event of its stream once, and all in the same order."""
        first, *others = (client.names() for client in self.everything)
        assert max(Counter(first).values()) == 1
        for other in others:
            assert other == first
        in_batches = [name for names in self.batches.values() for name in names]
        everything = Counter(name for name, _ in first)
        assert everything["document.submitted"] == self.count
        assert everything["document.completed"] + everything["document.failed"] == self.count
        assert everything["batch.submitted"] == everything["batch.completed"] == len(self.batches)
        for name, client in self.of_one.items():
            about = {name, *self.batches.get(name, ())}
            assert client.names() == [event for event in first if event[1] in about], name
            assert "reset" not in {event.name for event in client.events}
        assert len(in_batches) + len(self.alone) == len(set(in_batches) | set(self.alone))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def disturbed_run(
    directory: Path, count: int, disconnects: int, kills: int, seed: int
) -> dict[str, int]:
    port = free_port()
    choose = random.Random(seed)
    async with running_service(directory, PORT=str(port)) as service:
        run = Run(service, f"http://127.0.0.1:{port}")
        async with reading(*run.everything):
            await wait_until(lambda: all(one.last_id for one in run.everything))
            try:
                await asyncio.gather(
                    run.submit_all(count, pause=0.5), run.disturb(disconnects, kills, choose)
                )
                await wait_until(run.has_all, within=WITHIN)
            finally:
                await run.close()
        run.check()
        return {
            "documents": run.count,
            "streams": len(run.clients),
            "connections": sum(one.connections for one in run.clients),
            "events": sum(len(one.events) for one in run.clients),
            "starts": service.starts,
        }


@pytest.mark.slow
async def test_each_event_arrives_once_over_some_disconnects_and_kills(tmp_path: Path) -> None:
    await disturbed_run(tmp_path, count=40, disconnects=20, kills=4, seed=1)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_each_event_arrives_once_over_200_disconnects_and_kills(tmp_path: Path) -> None:
    print(await disturbed_run(tmp_path, count=300, disconnects=180, kills=20, seed=2))
