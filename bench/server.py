"""The service in a process of its own, with the real engine or an instant stub."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from actors.engines import Conversion, SourceFile
from ilios import logs
from ilios.runtime import gc_tuning
from ilios.service import service
from ilios.settings.environ import from_environ

READY_WITHIN = 30.0  # seconds


class StubEngine:
    """Converts in no time: what is left is the pipeline."""

    def __init__(self, kilobytes: int) -> None:
        self._padding = secrets.token_hex(kilobytes * 512)

    async def check(self) -> None:
        """Always fine."""

    async def convert(
        self, document: SourceFile, progress: Callable[[int, int], None] | None = None
    ) -> Conversion:
        """Return one page that names the document's hash."""
        page = f"# Stub\n\n{document.sha256}\n{self._padding}"
        return Conversion((page,), "stub", "stub-1", seconds=0.0)


class RunningService:
    """A service that was started here: where it is and what it has cost so far."""

    def __init__(self, pid: int, url: str) -> None:
        self.pid = pid
        self.url = url

    def processes(self) -> dict[str, int]:
        """Return the pids of the service and of everything it started, by name."""
        named = {"service": self.pid}
        for pid in _children(self.pid):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().replace("\0", " ")
            kind = "nats-server" if "nats-server" in command else "engine"
            named[f"{kind} {pid}" if kind == "engine" else kind] = pid
        return named

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
        held: dict[str, float] = {}
        for name, pid in self.processes().items():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(field):
                    held[name] = int(line.split()[1]) / 1024
        return held

    def reset_peak(self) -> None:
        """Make ``VmHWM`` start anew from what is resident now."""
        for pid in self.processes().values():
            Path(f"/proc/{pid}/clear_refs").write_text("5")


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


@asynccontextmanager
async def run_service(
    data_dir: Path, *, stub: bool, markdown_kilobytes: int = 0, **environ: str
) -> AsyncIterator[RunningService]:
    """Run the service on a free port while the context is open.

    The stub adds so many kilobytes of text to what it makes of a document. ``environ`` are further
    settings.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.server",
        "stub" if stub else "local",
        str(markdown_kilobytes),
        env={
            "PATH": os.environ["PATH"],
            "PORT": "0",
            "ILIOS_DATA_DIR": str(data_dir),
            "PYTHONPATH": str(Path(__file__).parent.parent),
            **(environ or {}),
            **environ,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # the log is written, as everywhere, but nobody reads it
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), READY_WITHIN)
        yield RunningService(process.pid, line.decode().strip())
    finally:
        with suppress(ProcessLookupError):  # it may have been killed
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _serve(kind: str, kilobytes: int) -> None:
    configured = from_environ(os.environ)
    logs.set_up(configured.log_level)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    engine = StubEngine(kilobytes) if kind == "stub" else None
    async with service(configured, engine=engine) as running:
        gc_tuning.freeze()
        print(running.url, flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2])))
