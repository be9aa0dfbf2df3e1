"""A volume of the log that is filled and freed repeatedly, and what clients see meanwhile."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import aiohttp
import nats
import nats.errors
from msgspec import Struct
from nats.aio.client import Client as NatsClient

from bench import server
from tests.volumes import fill, free, small_volume
from tests.waiting import wait_until

PROBE_INTERVAL = 0.1  # seconds
REFUSED_WITHIN = 90.0  # seconds until a submission is refused on a full volume
ACCEPTED_WITHIN = 90.0  # seconds
HEALED_WITHIN = 10.0  # seconds: the bar
PDF = b"%PDF-1.7"


class Contradiction(Struct, frozen=True):
    """A submission that failed although the service was ready before it began and after it."""

    at: float
    status: int


class SubmissionProbe:
    """Submits every tenth of a second, and reads readiness before and after each submission."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session
        self.contradictions: list[Contradiction] = []
        self.submissions = 0
        self.accepted_at = self.refused_at = 0.0

    async def run(self) -> None:
        """Submit until cancelled."""
        while True:
            await self._submit_once()
            await asyncio.sleep(PROBE_INTERVAL)

    async def _submit_once(self) -> None:
        before = await self._ask("GET", "/readyz")
        began = time.monotonic()
        status = await self._ask("POST", "/api/documents/submit", PDF)
        ended = time.monotonic()
        after = await self._ask("GET", "/readyz")
        self.submissions += 1
        if status == 202:
            self.accepted_at = ended
            return
        self.refused_at = ended
        if before == after == 200:
            self.contradictions.append(Contradiction(began, status))

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> int:
        headers = {"Content-Type": "application/pdf"} if body else {}
        url = self._url + path
        async with self._session.request(method, url, data=body, headers=headers) as answer:
            await answer.read()
            return answer.status


@asynccontextmanager
async def probing(url: str, publisher_file: Path) -> AsyncIterator[SubmissionProbe]:
    """Probe a service while the context is open, and publish on its bus.

    The service refuses uploads before the volume is full; publishers fill it to the end.
    """
    async with aiohttp.ClientSession() as session:
        probe = SubmissionProbe(url, session)
        tasks = [
            asyncio.create_task(probe.run()),
            asyncio.create_task(_publish(publisher_file)),
        ]
        try:
            yield probe
            done = [task for task in tasks if task.done()]
            await asyncio.gather(*done)  # a task that has ended has failed
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _publish(publisher_file: Path) -> None:
    while True:
        client = NatsClient()
        with suppress(nats.errors.Error, OSError, TimeoutError):
            url = publisher_file.read_text().strip()
            await client.connect(url, allow_reconnect=False, error_cb=_ignore)
            while True:
                with suppress(nats.errors.TimeoutError):
                    await client.request(
                        "ilios.document.submitted.p05.default.nonsense",
                        b"{}",
                        timeout=PROBE_INTERVAL,
                    )
                await asyncio.sleep(PROBE_INTERVAL)
        with suppress(nats.errors.Error, OSError, TimeoutError):
            await client.close()
        await asyncio.sleep(PROBE_INTERVAL)


async def _ignore(_: Exception) -> None:
    """Ignore errors of the connection: the server is restarted repeatedly."""


async def fill_and_free(volume: Path, probe: SubmissionProbe, seconds_full: float) -> float:
    """Fill the volume, free it, and return how many seconds later a submission is accepted."""
    began = time.monotonic()
    with _filled_volume(volume):
        await wait_until(lambda: probe.refused_at > began, within=REFUSED_WITHIN)
        await asyncio.sleep(seconds_full)
    freed = time.monotonic()
    await wait_until(lambda: probe.accepted_at > freed, within=ACCEPTED_WITHIN)
    return probe.accepted_at - freed


@contextmanager
def _filled_volume(volume: Path) -> Iterator[None]:
    fill(volume)
    try:
        yield
    finally:
        free(volume)


async def measure(fillings: int = 20, megabytes: int = 48, seconds: float = 3.0) -> None:
    """Fill and free the volume of the log, keeping it full for so long; print the recoveries."""
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        data = Path(name)
        with small_volume(data / "nats", megabytes) as volume:
            async with (
                server.run_service(data, stub=True, ILIOS_RESERVE_MB="16") as running,
                probing(running.url, volume / "publisher.url") as probe,
            ):
                healed = []
                for number in range(1, fillings + 1):
                    healed.append(await fill_and_free(volume, probe, seconds))
                    print(f"filling {number:<3}          accepted again after {healed[-1]:.1f} s")
    print(f"submissions          {probe.submissions}")
    print(f"failed while ready   {len(probe.contradictions)}")
    bar = "ok" if max(healed) <= HEALED_WITHIN and not probe.contradictions else "NOT MET"
    print(f"longest              {max(healed):.1f} s, at most {HEALED_WITHIN:.0f} s: {bar}")
