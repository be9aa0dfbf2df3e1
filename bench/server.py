"""The service under measurement: a child process with the real engine or an instant stub."""

import asyncio
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from actors.engines import Conversion, SourceFile
from ilios import logs
from ilios.chaos.processes import (
    EDGE,
    NATS_SERVER,
    ROOT,
    SERVE,
    ServiceProcess,
    command_line,
)
from ilios.runtime import event_loop, process_settings
from ilios.service import service
from ilios.settings.environ import from_environ

EDGE_PROCESS = EDGE.rpartition(".")[2]
LOOP_ROUNDS = 2_000_000


class StubEngine:
    """An engine that takes no time, so that only the pipeline is measured."""

    def __init__(self, kilobytes: int) -> None:
        self._padding = secrets.token_hex(kilobytes * 512)

    async def check(self) -> None:
        """Succeed."""

    async def convert(
        self, document: SourceFile, progress: Callable[[int, int], None] | None = None
    ) -> Conversion:
        """Return one page with the hash of the document."""
        page = f"# Stub\n\n{document.sha256}\n{self._padding}"
        return Conversion((page,), "stub", "stub-1", seconds=0.0)


class MeasuredService(ServiceProcess):
    """A service in ``data``, of this or another checkout, and what its processes cost.

    The stub adds ``kilobytes`` of text to each document.
    """

    def __init__(
        self,
        data: Path,
        *,
        stub: bool,
        kilobytes: int = 0,
        checkout: Path = ROOT,
        log: Path | None = None,
        **environ: str,
    ) -> None:
        self.data = data
        self._serve = ("-m", "bench.server", "stub", str(kilobytes)) if stub else SERVE
        python = sys.executable if checkout == ROOT else str(checkout / ".venv/bin/python")
        defaults = {"PORT": "0", "ILIOS_NATS_PORT": "0", "ILIOS_DATA_DIR": str(data)}
        log = log or Path(os.devnull)  # written, as in production, but seldom read
        super().__init__(defaults | environ, directory=checkout, log=log, python=python)

    def command(self) -> tuple[str, ...]:
        """Return the arguments of Python."""
        return self._serve

    def processes(self) -> dict[str, int]:
        """Return the pids of the service and of everything it started, by name."""
        named = {"service": self.pid}
        for pid in self.children():
            named[_kind(pid, command_line(pid))] = pid
        return named

    def own_processes(self) -> dict[str, int]:
        """Return the pids without those of engine processes, which are replaced now and then."""
        return {k: v for k, v in self.processes().items() if not k.startswith("engine")}

    def cpu_seconds(self) -> dict[str, float]:
        """Return user and system CPU seconds of each process."""
        ticks = os.sysconf("SC_CLK_TCK")
        used: dict[str, float] = {}
        for name, pid in self.processes().items():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            used[name] = (int(fields[11]) + int(fields[12])) / ticks
        return used

    def resident_mb(self, field: str = "VmRSS") -> dict[str, float]:
        """Return resident memory in MB of each process; ``VmHWM`` gives the peak."""
        resident: dict[str, float] = {}
        for name, pid in self.processes().items():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(field):
                    resident[name] = int(line.split()[1]) / 1024
        return resident

    def reset_peak(self) -> None:
        """Reset ``VmHWM`` to the present resident memory."""
        for pid in self.processes().values():
            Path(f"/proc/{pid}/clear_refs").write_text("5")


@asynccontextmanager
async def run_service(
    data: Path | None = None,
    *,
    stub: bool,
    kilobytes: int = 0,
    checkout: Path = ROOT,
    log: Path | None = None,
    **environ: str,
) -> AsyncIterator[MeasuredService]:
    """Run the service while the context is open, in a temporary directory unless ``data`` is given.

    ``environ`` are further settings.
    """
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        running = MeasuredService(
            data or Path(name),
            stub=stub,
            kilobytes=kilobytes,
            checkout=checkout,
            log=log,
            **environ,
        )
        await running.start()
        try:
            yield running
        finally:
            await running.stop()


def of_service(figures: dict[str, float]) -> float:
    """Return the sum for the core and its edge process, without nats-server and engines."""
    return figures["service"] + figures.get(EDGE_PROCESS, 0.0)


def _kind(pid: int, command: str) -> str:
    """Name a process that a service started: by its module when it is neither server nor engine."""
    if NATS_SERVER in command:
        return NATS_SERVER
    module = command.partition(" -m ")[2].partition(" ")[0]
    return f"engine {pid}" if "engine" in module or not module else module.rpartition(".")[2]


def reference_loop_ms() -> float:
    """Return the CPU milliseconds of a fixed loop: shared machines change from minute to minute."""
    began = time.process_time()
    total = 0
    for number in range(LOOP_ROUNDS):
        total += number & 7
    return 1000 * (time.process_time() - began)


async def _serve_stub(kilobytes: int) -> None:
    configured = from_environ(os.environ)
    logs.set_up(configured.log_level)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with service(configured, engine=StubEngine(kilobytes)) as running:
        process_settings.freeze_objects()
        print(f"HTTP {running.url}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    # `stub KILOBYTES`, as in every version: `bench side-by-side` starts that of another checkout.
    event_loop.run(_serve_stub(int(sys.argv[2])))
