"""A core on an external bus and worker hosts beside it, each a process with everything real."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.journeys.running import RunningService, running_service
from tests.waiting import wait_until


class WorkerHost(RunningService):
    """`ilios run` with some roles, and a data directory of its own."""

    roles: tuple[str, ...] = ("fetcher", "ocr")

    def command(self) -> tuple[str, ...]:
        if self.armed is None:
            return ("-m", "ilios", "run", *self.roles)
        return ("-m", "tests.journeys.armed", f"{self.armed}:1", "run", *self.roles)

    @property
    def converted(self) -> int:
        """The number of documents this host has converted."""
        text = self.log.read_text() if self.log is not None and self.log.exists() else ""
        return text.count("document converted")


def key_of(core: Path) -> dict[str, str]:
    """Return the setting by which a worker has the key of a core's passwords."""
    return {"ILIOS_SEAL_KEY_FILE": str(core / "passwords.key")}


@asynccontextmanager
async def core_and_workers(
    root: Path, shared: dict[str, str], workers: int
) -> AsyncIterator[tuple[RunningService, list[WorkerHost]]]:
    """Run a core and so many worker hosts with these shared settings; none is left afterwards."""
    core_dir = root / "core"
    async with running_service(core_dir, **shared, WORKER_COUNT="1") as core:
        hosts = [
            WorkerHost(
                root / f"worker-{number}",
                **shared,
                **key_of(core_dir),
                WORKER_COUNT="1",
                ILIOS_LOG_LEVEL="debug",
            )
            for number in range(workers)
        ]
        try:
            for host in hosts:
                host.log = root / f"{host.data_dir.name}.log"
                await host.start()
            yield core, hosts
        finally:
            for host in hosts:
                await host.stop()
                await wait_until(lambda host=host: not host.children())  # type: ignore[misc]
