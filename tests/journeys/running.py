"""The service as its users run it: a process of its own, started, killed and started again."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bus.failpoints import Failpoint
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
READY_WITHIN = 30.0  # seconds
KILLED_WITHIN = 60.0  # seconds


class RunningService:
    """`ilios serve` on a port of its own, with everything real."""

    def __init__(self, data_dir: Path, **environ: str) -> None:
        self.data_dir = data_dir
        self.armed: Failpoint | None = None
        self._environ = environ
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    @property
    def pid(self) -> int:
        """The service's own process."""
        assert self._process is not None
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the service's own process is gone."""
        return self._process is None or self._process.returncode is not None

    async def start(self) -> None:
        """Start it, to be killed when it reaches ``armed``; wait until it says where it listens."""
        await self.spawn()
        await self.wait_until_ready()

    async def spawn(self) -> None:
        """Start it without waiting; with a ``PORT`` of its own it can be asked at once."""
        module = ("ilios",) if self.armed is None else ("tests.journeys.armed", self.armed, "1")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *module,
            "serve",
            cwd="/",  # where no .env lies
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "PORT": "0",
                "ILIOS_NATS_PORT": "0",
                "ILIOS_DATA_DIR": str(self.data_dir),
                "ILIOS_LOG_FORMAT": "json",
                "ILIOS_LOG_LEVEL": "warning",
                **self._environ,
            },
            stdout=asyncio.subprocess.PIPE,
        )
        port = self._environ.get("PORT", "0")
        self.url = f"http://127.0.0.1:{port}"

    async def wait_until_ready(self) -> None:
        """Wait until it prints where it listens, which it does when it is ready."""
        assert self._process is not None
        stdout = self._process.stdout
        assert stdout is not None
        async with asyncio.timeout(READY_WITHIN):
            async for line in stdout:
                if line.split()[:1] == [b"HTTP"]:
                    self.url = line.split()[1].decode()
                    return
        raise AssertionError("the service ended before it was ready")

    def children(self, kind: str) -> list[int]:
        """Return the pids of the children whose command names ``kind``."""
        return [
            pid
            for pid in _children(self.pid)
            if kind in Path(f"/proc/{pid}/cmdline").read_bytes().decode().replace("\0", " ")
        ]

    async def kill(self, target: str) -> None:
        """``kill -9`` the service, its nats-server, one engine process, or all of them at once."""
        pids = {
            "service": lambda: [self.pid],
            "nats-server": lambda: self.children("nats-server"),
            "engine": lambda: self.children("engines.local.child")[:1],
            "all": lambda: [
                *self.children("nats-server"),
                *self.children("engines.local.child"),
                self.pid,
            ],
        }[target]()
        assert pids, f"there is no {target} to kill"
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        if self.pid in pids:
            assert self._process is not None
            await self._process.wait()

    async def wait_until_killed(self) -> None:
        """Wait until ``armed`` has killed it; from then on nothing is armed."""
        assert self._process is not None
        async with asyncio.timeout(KILLED_WITHIN):
            assert await self._process.wait() == -signal.SIGKILL
        self.armed = None

    async def stop(self) -> int:
        """Ask it to stop and return its exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.terminate()
        return await self._process.wait()


def _children(pid: int) -> list[int]:
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


@asynccontextmanager
async def running_service(data_dir: Path, **environ: str) -> AsyncIterator[RunningService]:
    """Run the service while the context is open; nothing of it is left afterwards."""
    service = RunningService(data_dir, **environ)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()
        await wait_until(lambda: not _children(service.pid))
