"""The fake as a process of its own, told what to do over HTTP."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import aiohttp
import msgspec

from tests.mistral.faults import TRANSIENT, Endpoint, Fault, Kind
from tests.mistral.jobs import NextStatus
from tests.mistral.server import KEY

ROOT = Path(__file__).parents[2]
PATIENCE = 10.0  # seconds for the process to end when it is asked to


class RunningFake:
    """A fake elsewhere: where it is, and what ``tests.mistral.control`` offers, as methods."""

    def __init__(self, url: str, key: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.key = key
        self._session = session

    async def call_log(self, calls: int | None = None) -> dict[str, Any]:
        """Return all that was asked, answered and paid for; of the single calls the last ones."""
        query = "" if calls is None else f"?calls={calls}"
        found: dict[str, Any] = await self._send("GET", f"book{query}")
        return found

    async def files(self) -> list[dict[str, Any]]:
        """Return the files nobody has deleted, the newest first."""
        found: list[dict[str, Any]] = await self._send("GET", "files")
        return found

    async def jobs(self) -> list[dict[str, Any]]:
        """Return the batch jobs nobody has deleted, the newest first."""
        found: list[dict[str, Any]] = await self._send("GET", "jobs")
        return found

    async def job(
        self,
        id_: str,
        status: NextStatus = "",
        *,
        hold: bool | None = None,
        fail: Sequence[str] | None = None,
        kind: Kind = "500",
    ) -> dict[str, Any]:
        """Let a job take its next step or go straight to ``status``, and return it.

        Given ``hold`` or ``fail`` alone it takes no step: its clock stops or goes on, the requests
        with these custom_ids are going to fail in this way.
        """
        command: dict[str, Any] = {"status": status, "hold": hold, "fail": fail, "kind": kind}
        shown: dict[str, Any] = await self._send("POST", f"jobs/{id_}", command)
        return shown

    async def fail_next(self, endpoint: Endpoint, *faults: Kind | Fault, times: int = 1) -> None:
        """Let the next requests of this endpoint go wrong in these ways, one after the other."""
        waiting = [
            {"endpoint": endpoint, "fault": _fault(fault), "times": times} for fault in faults
        ]
        await self._send("POST", "faults", {"next": waiting})

    async def fail_share(
        self,
        share: float,
        kinds: Sequence[Kind | Fault] = TRANSIENT,
        *,
        endpoints: Sequence[Endpoint] = get_args(Endpoint),
        seed: int | None = None,
    ) -> None:
        """Let a share of all requests go wrong, which ones and how is up to the seed."""
        faults = [_fault(kind) for kind in kinds]
        shares = [
            {"endpoint": endpoint, "share": share, "faults": faults} for endpoint in endpoints
        ]
        await self._send("POST", "faults", {"seed": seed, "share": shares})

    async def clear_faults(self) -> None:
        """Let nothing go wrong any more."""
        await self._send("POST", "faults", {"clear": True})

    async def set_rules(self, **changed: Any) -> dict[str, Any]:
        """Change these fields of ``Rules``, and return all of them."""
        current: dict[str, Any] = await self._send("POST", "rules", changed)
        return current

    async def set_key(self, key: str) -> None:
        """Let another key be the right one, as when it was revoked and made anew."""
        await self._send("POST", "key", {"key": key})
        self.key = key

    async def expire(self, file_id: str) -> None:
        """Let the time of a file be over."""
        await self._send("POST", f"files/{file_id}", {"expired": True})

    async def reset(self) -> None:
        """Forget all calls, files, jobs and faults; the rules and the key stay."""
        await self._send("POST", "reset")

    async def _send(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else msgspec.json.encode(body)
        url = f"{self.url}/_fake/{path}"
        async with self._session.request(method, url, data=data) as response:
            content = await response.read()
            if response.status != 200:
                raise ValueError(content.decode())
            return msgspec.json.decode(content)


def _fault(given: Kind | Fault) -> Fault:
    return given if isinstance(given, Fault) else Fault(given)


@asynccontextmanager
async def running_fake(
    *arguments: str, port: int = 0, key: str = KEY
) -> AsyncIterator[RunningFake]:
    """Run ``python -m tests.mistral`` with these further arguments while the context is open."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.mistral", "--port", str(port), "--key", key, *arguments),
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
            yield RunningFake(url, key, session)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), PATIENCE)
            except TimeoutError:
                process.kill()
                await process.wait()
    if process.returncode:
        raise RuntimeError(f"the fake ended with {process.returncode}")
