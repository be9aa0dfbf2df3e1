"""The service as its users run it: a process with everything real, started, killed, restarted."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bus.failpoints import Failpoint
from ilios.chaos.processes import ROOT, ServiceProcess, Target
from tests.waiting import wait_until

__all__ = ["ROOT", "RunningService", "Target", "running_service"]

FAILPOINT_TIMEOUT = 60.0  # seconds
PYTHON_PATH = os.pathsep.join((str(ROOT / "tests" / "deployed"), str(ROOT)))
DEFAULTS = {
    "PYTHONPATH": PYTHON_PATH,
    "PORT": "0",
    "ILIOS_NATS_PORT": "0",
    "ILIOS_LOG_FORMAT": "json",
    "ILIOS_LOG_LEVEL": "warning",
}
"""Settings of the service where a journey has no others."""


class RunningService(ServiceProcess):
    """`ilios serve` on a free port, killed when it reaches the failpoint ``armed``."""

    def __init__(self, data_dir: Path, **environ: str) -> None:
        super().__init__(DEFAULTS | {"ILIOS_DATA_DIR": str(data_dir)} | environ)
        self.data_dir = data_dir
        self.armed: Failpoint | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the process of the service is gone."""
        return self._process is None or self.exit_code is not None

    def command(self) -> tuple[str, ...]:
        if self.armed is None:
            return super().command()
        return ("-m", "tests.journeys.armed", f"{self.armed}:1", "serve")

    async def spawn(self) -> None:
        """Start it without waiting; with a given ``PORT`` requests can be sent at once."""
        await super().spawn()
        self.url = f"http://127.0.0.1:{self._environ['PORT']}"

    async def wait_until_killed(self) -> None:
        """Wait until the failpoint has killed it; the next start has none."""
        async with asyncio.timeout(FAILPOINT_TIMEOUT):
            assert await self._started.wait() == -signal.SIGKILL
        self.armed = None


@asynccontextmanager
async def running_service(data_dir: Path, **environ: str) -> AsyncIterator[RunningService]:
    """Run the service while the context is open; none of its processes is left afterwards."""
    service = RunningService(data_dir, **environ)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()
        await wait_until(lambda: not service.children())
