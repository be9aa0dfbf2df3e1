"""Fixtures of the tests of the bus."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ilios.nats.server import NatsServer
from tests.waiting import wait_until


class KillableServer(NatsServer):
    """A nats-server that stays dead when it is killed, until it is started again."""

    async def kill(self) -> None:
        self._signal(signal.SIGKILL)
        assert self._process is not None
        await self._process.wait()

    async def freeze(self) -> None:
        self._signal(signal.SIGSTOP)
        await wait_until(self._is_frozen)  # a signal is delivered when the process has a turn

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _is_frozen(self) -> bool:
        threads = Path(f"/proc/{self.pid}/task").glob("*/stat")
        return all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in threads)

    def _signal(self, number: signal.Signals) -> None:
        assert self.pid is not None
        os.kill(self.pid, number)


@pytest.fixture
async def killable_server(tmp_path: Path) -> AsyncIterator[KillableServer]:
    """A nats-server that is restarted by the test only."""
    server = KillableServer(tmp_path / "mortal", 0)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
