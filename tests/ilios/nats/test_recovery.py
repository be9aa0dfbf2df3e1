"""A nats-server that comes up slowly is waited for while it works, and no longer."""

import sys
from pathlib import Path

import pytest

from ilios.nats import server as module
from ilios.nats.server import BusDidNotStart, NatsServer

WORK = "until = time.process_time() + {seconds}\nwhile time.process_time() < until: pass"
FAKE = """#!{python}
import sys, time
{work}
print("[INF] Listening for client connections on 127.0.0.1:4", file=sys.stderr, flush=True)
print("[INF] Server is ready", file=sys.stderr, flush=True)
time.sleep(60)
"""


def fake(
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    work: str,
    ready_within: float,
    recovered_within: float = 60.0,
) -> NatsServer:
    """Return a server whose program does ``work`` before it is ready."""
    program = directory / "nats-server"
    program.write_text(FAKE.format(python=sys.executable, work=work))
    program.chmod(0o700)
    monkeypatch.setattr(module, "_binary", lambda: str(program))
    return NatsServer(
        directory / "nats", 0, ready_within=ready_within, recovered_within=recovered_within
    )


async def test_a_store_that_takes_long_to_recover_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = fake(tmp_path, monkeypatch, WORK.format(seconds=1.5), 0.5)
    try:
        await server.start()
        assert server.is_ready
    finally:
        await server.stop()
    assert not server.is_ready


async def test_one_that_does_nothing_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BusDidNotStart):
        await fake(tmp_path, monkeypatch, "time.sleep(600)", 1.0).start()


async def test_nor_one_that_works_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BusDidNotStart):
        await fake(tmp_path, monkeypatch, "while True: pass", 0.5, 1.5).start()
