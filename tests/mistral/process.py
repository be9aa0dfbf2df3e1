"""The fake as a child process, with faults set over HTTP."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec

from tests.mistral.control import FaultShares
from tests.mistral.faults import Endpoint, Fault, Kind
from tests.mistral.server import KEY

ROOT = Path(__file__).parents[2]
STOP_TIMEOUT = 10.0  # seconds


class RunningFake:
    """The URL and key of a fake in another process, and its control API."""

    key = KEY

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def paid_calls(self) -> dict[str, int]:
        """Return the paid calls of each document, by its hash."""
        async with self._session.get(f"{self.url}/_fake/paid") as response:
            response.raise_for_status()
            return msgspec.json.decode(await response.read(), type=dict[str, int])

    async def fail_share(
        self, share: float, kinds: Sequence[Kind], *, endpoints: Sequence[Endpoint], seed: int = 0
    ) -> None:
        """Let a share of all requests fail; the seed decides which ones and how."""
        shares = FaultShares(share, tuple(map(Fault, kinds)), tuple(endpoints), seed)
        body = msgspec.json.encode(shares)
        async with self._session.post(f"{self.url}/_fake/faults", data=body) as response:
            response.raise_for_status()


@asynccontextmanager
async def running_fake(*arguments: str) -> AsyncIterator[RunningFake]:
    """Run ``python -m tests.mistral`` with these arguments while the context is open."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.mistral", *arguments),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().strip()
        if not url:
            raise RuntimeError(f"the fake ended with {await process.wait()} before it began")
        async with aiohttp.ClientSession() as session:
            yield RunningFake(url, session)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_TIMEOUT)
            except TimeoutError:
                process.kill()
                await process.wait()
