"""The embedded nats-server starts, restarts, loses nothing, and ends with its parent."""

import asyncio
import errno
import json
import os
import re
import signal
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bus import streams
from bus.connection import Connection, connect
from bus.publisher import Publisher
from ilios.nats import server as module
from ilios.nats import users
from ilios.nats.server import BusDidNotStart, NatsServer, embedded
from ilios.secret import write_private_file
from tests import events
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


async def test_it_is_ready_after_its_start_and_ended_with_its_context(tmp_path: Path) -> None:
    async with embedded(tmp_path, 0) as server:
        pid = server.pid
        assert pid
        async with connect(server.url("operator"), name="test") as connection:
            await connection.check()
    assert is_gone(pid)
    assert server.pid is None


async def test_the_preferred_port_is_taken_where_it_is_free(tmp_path: Path) -> None:
    async with embedded(tmp_path / "a", 0) as first:
        port = first.port
    async with embedded(tmp_path / "b", port) as second:
        assert second.port == port
        async with embedded(tmp_path / "c", port) as third:
            assert third.port not in (port, 0, -1)
            async with connect(third.url("operator"), name="test") as connection:
                await connection.check()


@asynccontextmanager
async def connected_server(directory: Path) -> AsyncIterator[Connection]:
    async with (
        embedded(directory, 0) as server,
        connect(server.url("operator"), name="test") as connection,
    ):
        yield connection


@pytest.mark.parametrize("name", ["with space", 'quote"and\\slash', "grün", "$HOME # {x}"])
async def test_any_directory_name_works(tmp_path: Path, name: str) -> None:
    async with connected_server(tmp_path / name) as connection:
        await streams.ensure(connection.jetstream)
        await Publisher(connection).publish(events.submitted())
    assert list((tmp_path / name / "jetstream").rglob("*.blk"))


async def test_published_events_survive_a_restart(tmp_path: Path) -> None:
    for sequence in (1, 2, 3):
        async with connected_server(tmp_path) as connection:
            await streams.ensure(connection.jetstream)
            assert await Publisher(connection).publish(events.submitted(sequence)) == sequence


async def test_it_is_started_again_on_the_same_port_with_all_it_had(
    nats_server: NatsServer, connection: Connection
) -> None:
    publisher, port = Publisher(connection), nats_server.port
    for number in range(1, 4):
        await publisher.publish(events.submitted(number))
        before = nats_server.pid
        assert before
        os.kill(before, signal.SIGKILL)
        await wait_until(lambda before=before: nats_server.pid not in (None, before))  # type: ignore[misc]
        assert nats_server.port == port
    assert await publisher.publish(events.submitted(4)) == 4


async def test_a_full_volume_does_not_end_the_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "no space left")
    write, failures = write_private_file, [full] * 3

    def refuse(path: Path, text: str) -> None:
        if failures:
            raise failures.pop()
        write(path, text)

    async with embedded(tmp_path, 0) as server:
        monkeypatch.setattr(users, "write_private_file", refuse)
        for _ in range(4):
            before = server.pid
            assert before
            os.kill(before, signal.SIGKILL)
            await wait_until(lambda before=before: server.pid not in (None, before))  # type: ignore[misc]
        async with connect(server.url("operator"), name="test") as connection:
            await connection.check()


async def test_a_port_taken_meanwhile_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with embedded(tmp_path, 0) as server:
        taken = socket.socket()
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        start, refused, why = server.start, asyncio.Event(), list[str]()

        async def start_while_taken() -> None:
            if not refused.is_set():
                taken.bind(("127.0.0.1", server.port))
                taken.listen()
            try:
                await start()
            except BusDidNotStart as error:
                why.append(str(error))
                refused.set()
                taken.close()
                raise

        monkeypatch.setattr(server, "start", start_while_taken)
        assert server.pid
        os.kill(server.pid, signal.SIGKILL)
        await asyncio.wait_for(refused.wait(), 30)
        assert "address already in use" in why[0]
        await wait_until(lambda: server.pid is not None)
        async with connect(server.url("operator"), name="test") as connection:
            await connection.check()


async def test_a_server_that_cannot_start_has_a_reason(tmp_path: Path) -> None:
    (tmp_path / "jetstream").mkdir()
    (tmp_path / "jetstream" / "jetstream").write_text("in the way")
    with pytest.raises(BusDidNotStart, match=r"did not start: .*storage directory"):
        async with embedded(tmp_path, 0):
            pytest.fail("it has no store")


EMBEDDER = """
import asyncio, sys
from pathlib import Path
from ilios.nats.server import embedded

async def main():
    async with embedded(Path(sys.argv[1]), 0) as server:
        print(server.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_it_dies_with_its_parent_and_the_next_finds_everything(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", EMBEDDER, str(tmp_path), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    pid = int(await asyncio.wait_for(parent.stdout.readline(), 30))
    assert not is_gone(pid)
    parent.kill()
    await parent.wait()
    await wait_until(lambda: is_gone(pid))
    async with embedded(tmp_path, 0):
        pass


async def test_a_leftover_of_a_former_run_is_ended(tmp_path: Path) -> None:
    former = NatsServer(tmp_path, 0)
    await former.start()
    left = former.pid
    assert left
    async with embedded(tmp_path, 0) as server:
        assert is_gone(left)
        async with connect(server.url("operator"), name="test") as connection:
            await connection.check()
    await former.stop()


async def test_another_process_with_a_reused_pid_is_left_alone(tmp_path: Path) -> None:
    stranger = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        (tmp_path / "nats-server.pid").write_text(str(stranger.pid))
        async with embedded(tmp_path, 0):
            pass
        assert stranger.returncode is None
        assert not is_gone(stranger.pid)
    finally:
        stranger.kill()
        await stranger.wait()


async def varz(server: NatsServer) -> dict[str, Any]:
    """Run the same configuration with a monitoring port, and ask it what is in force."""
    process = await asyncio.create_subprocess_exec(
        module.binary(),
        "-c",
        str(server._users.configuration),
        "-m",
        "-1",
        stderr=asyncio.subprocess.PIPE,
        env=server._environment(),
    )
    assert process.stderr
    try:
        url = None
        async for line in process.stderr:
            if found := re.search(rb"http monitor on (127\.0\.0\.1:\d+)", line):
                url = f"http://{found[1].decode()}/varz"
            if b"Server is ready" in line:  # the monitor answers before JetStream has begun
                break
        assert url, "no monitor"

        def ask() -> dict[str, Any]:
            with urllib.request.urlopen(url, timeout=10) as answer:
                found: dict[str, Any] = json.load(answer)
            return found

        return await asyncio.to_thread(ask)
    finally:
        process.terminate()
        await process.communicate()


async def test_every_acknowledged_event_is_on_disk(tmp_path: Path) -> None:
    found = await varz(NatsServer(tmp_path, 0))
    jetstream = found["jetstream"]["config"]
    assert jetstream["sync_always"] is True
    assert jetstream["store_dir"] == str(tmp_path / "jetstream" / "jetstream")
    assert jetstream["strict"] is True, "or a publisher's reply subject can purge the log"
    assert (found["host"], found["max_payload"]) == ("127.0.0.1", 1024 * 1024)


BUSY = "until = time.process_time() + {seconds}\nwhile time.process_time() < until: pass"
SLOW_PROGRAM = """#!{python}
import sys, time
{work}
print("[INF] Listening for client connections on 127.0.0.1:4", file=sys.stderr, flush=True)
print("[INF] Server is ready", file=sys.stderr, flush=True)
time.sleep(60)
"""


def slow_server(
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    work: str,
    ready_within: float,
    recovered_within: float = 60.0,
) -> NatsServer:
    """Return a server whose program does ``work`` before it is ready."""
    program = directory / "nats-server"
    program.write_text(SLOW_PROGRAM.format(python=sys.executable, work=work))
    program.chmod(0o700)
    monkeypatch.setattr(module, "binary", lambda: str(program))
    return NatsServer(
        directory / "nats", 0, ready_within=ready_within, recovered_within=recovered_within
    )


async def test_a_store_that_takes_long_to_recover_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = slow_server(tmp_path, monkeypatch, BUSY.format(seconds=1.5), 0.5)
    try:
        await server.start()
        assert server.is_ready
    finally:
        await server.stop()
    assert not server.is_ready


async def test_a_start_without_progress_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BusDidNotStart):
        await slow_server(tmp_path, monkeypatch, "time.sleep(600)", 1.0).start()


async def test_a_start_that_works_for_ever_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BusDidNotStart):
        await slow_server(tmp_path, monkeypatch, "while True: pass", 0.5, 1.5).start()
