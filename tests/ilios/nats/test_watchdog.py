"""A nats-server that runs but cannot serve is replaced; a slow or starting one is not."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec import structs

from bus import streams
from bus.connection import Connection, connect
from bus.diagnostics import PermissionViolations, PublishStats
from bus.errors import BusFull, BusUnavailable
from bus.publisher import Publisher
from ilios.integrity.faults import Faults
from ilios.nats import store
from ilios.nats import watchdog as module
from ilios.nats.server import NatsServer, embedded
from ilios.nats.watchdog import NatsWatchdog, WatchdogTimeouts
from ilios.runtime.machine import ProcessActivity
from tests import events
from tests.ilios.runtime.test_machine import python
from tests.volumes import fill, free, small_volume
from tests.waiting import wait_until

WITHIN = 60.0  # seconds; a machine under load is slow, not wrong
REAL = WatchdogTimeouts(poll=0.2, request=0.5, hung=2.0, unacknowledged=3.0)
QUICK = WatchdogTimeouts(poll=0.01, poll_unanswered=0.01, hung=0.05, unacknowledged=0.05)


@asynccontextmanager
async def watched(directory: Path) -> AsyncIterator[tuple[NatsServer, Connection]]:
    """Run a server with a watchdog, and a connection on which the streams exist."""
    publish_stats = PublishStats()
    async with (
        embedded(directory, 0) as server,
        connect(server.url("operator"), name="test", publish_stats=publish_stats) as connection,
    ):
        await streams.ensure(connection.jetstream)
        watch = asyncio.create_task(
            NatsWatchdog(server, connection, publish_stats, Faults(), REAL).run()
        )
        try:
            yield server, connection
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


def publishes(publisher: Publisher, number: int) -> Callable[[], Any]:
    """Return a function that publishes an event, and returns whether it was stored."""

    async def is_taken() -> bool:
        try:
            await publisher.publish(events.submitted(number), within=0.1)
        except (BusUnavailable, BusFull):
            return False
        return True

    return is_taken


async def last_sequence(connection: Connection) -> int:
    return (await streams.identity(connection.jetstream)).last_sequence


@pytest.mark.slow
async def test_a_server_that_met_a_full_disk_is_replaced_when_there_is_room(tmp_path: Path) -> None:
    with small_volume(tmp_path / "volume", 40) as volume:
        async with watched(volume / "nats") as (server, connection):
            publisher, last_stored = Publisher(connection), 0
            fill(volume)
            for number in range(1, 1000):
                try:
                    last_stored = await publisher.publish(events.submitted(number), within=0.1)
                except BusUnavailable:
                    break
            await wait_until(lambda: server.write_error is not None)
            broken = server.pid
            # What it has not acknowledged it may still have: then this repeats it, and adds none.
            assert not await publishes(publisher, 1000)()
            assert server.pid == broken, "another would meet the same disk"
            free(volume)
            await wait_until(publishes(publisher, 1001), within=WITHIN)
            assert server.pid != broken
            assert await last_sequence(connection) >= last_stored + 1


async def test_a_server_that_hangs_is_replaced(tmp_path: Path) -> None:
    async with watched(tmp_path) as (server, connection):
        publisher = Publisher(connection)
        await publisher.publish(events.submitted(1))
        hung = server.pid
        assert hung
        os.kill(hung, signal.SIGSTOP)
        await wait_until(lambda: server.pid not in (None, hung), within=WITHIN)
        await wait_until(publishes(publisher, 2), within=WITHIN)
        assert await last_sequence(connection) == 2


async def test_a_server_started_on_a_full_volume_gets_a_larger_log_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MIN_STORE_BYTES", 100_000)
    has = 0
    monkeypatch.setattr(store, "free", lambda _: has)
    async with watched(tmp_path) as (server, connection):
        publisher, number, small = Publisher(connection), 1, server.store_limit
        while await publishes(publisher, number)():
            number += 1
        has = 1024**3
        await wait_until(publishes(publisher, 0), within=WITHIN)
        assert server.store_limit > small
        assert await last_sequence(connection) == number


class UnusableServer:
    """A fake server and its connection: requests are unanswered, or go to a real server."""

    def __init__(self, pid: int, store: Path, write_error: str | None = None) -> None:
        self.pid = pid
        self.store = store
        self.write_error = write_error
        self.store_limit = self.memory_limit = 2**62
        self.ready_at = 0.0
        self.is_ready = True
        self.permission_violations = PermissionViolations()
        self.refuses = False
        self.asks: Connection | None = None
        self.asked = 0
        self.ended: list[str] = []

    async def request(self, subject: str, body: bytes, within: float) -> None:
        self.asked += 1
        if self.refuses:
            self.permission_violations.count += 1
        if self.asks is not None:
            await self.asks.request(subject, body, within)
            return
        raise BusUnavailable("no answer")

    async def terminate(self, reason: str, *, graceful: bool) -> None:
        self.ended.append(reason)

    @asynccontextmanager
    async def watched(
        self, tries: PublishStats | None = None, timeouts: WatchdogTimeouts = QUICK
    ) -> AsyncIterator[None]:
        server, connection = cast("NatsServer", self), cast("Connection", self)
        task = asyncio.create_task(
            NatsWatchdog(server, connection, tries or PublishStats(), Faults(), timeouts).run()
        )
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_working_server_is_given_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with python("while True: pass") as pid:
        await wait_until(lambda: ProcessActivity.of(pid).cpu > 0)
        slow = UnusableServer(pid, tmp_path)
        at_work = [True]
        monkeypatch.setattr(ProcessActivity, "progressed_since", lambda *_: at_work[0])
        async with slow.watched():
            await wait_until(lambda: slow.asked > 50)
            assert slow.ended == []
            at_work[0] = False
            await wait_until(lambda: bool(slow.ended))
    assert slow.ended[0].startswith("no answer")


async def test_a_working_server_is_not_given_time_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProcessActivity, "progressed_since", lambda *_: True)
    slow = UnusableServer(os.getpid(), tmp_path)
    async with slow.watched(timeouts=structs.replace(QUICK, slow=0.2)):
        await wait_until(lambda: bool(slow.ended))


async def test_a_starting_server_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProcessActivity, "progressed_since", lambda *_: False)
    starting = UnusableServer(os.getpid(), tmp_path, write_error="critical write error")
    starting.is_ready = False
    looks = 0
    begin = NatsWatchdog._begin

    def count(self: NatsWatchdog, pid: int | None) -> None:
        nonlocal looks
        looks += 1
        begin(self, pid)

    monkeypatch.setattr(NatsWatchdog, "_begin", count)
    async with starting.watched():
        await wait_until(lambda: looks > 30)
    assert (starting.asked, starting.ended) == (0, [])


async def test_a_permission_violation_is_no_sign_of_a_hung_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProcessActivity, "progressed_since", lambda *_: False)
    strict = UnusableServer(os.getpid(), tmp_path)
    strict.refuses = True
    async with strict.watched():
        await wait_until(lambda: strict.asked > 30)
    assert strict.ended == []


async def test_on_a_full_disk_no_server_is_ended(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProcessActivity, "progressed_since", lambda *_: False)
    room = module.NEEDED_BYTES - 1
    monkeypatch.setattr(store, "free", lambda _: room)
    tries, full = PublishStats(), UnusableServer(os.getpid(), tmp_path, "critical write error")
    full.asks = connection
    began = asyncio.get_running_loop().time()

    def tried() -> int:
        tries.record_timeout(began)
        return full.asked

    async with full.watched(tries):
        await wait_until(lambda: tried() > 30)
        assert full.ended == []
        room += 1
        await wait_until(lambda: bool(full.ended))
    assert full.ended[0].startswith("it cannot write")


async def test_a_lasting_fault_does_not_cause_a_storm_of_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, looks = [1000.0], 0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    broken = UnusableServer(os.getpid(), tmp_path, write_error="critical write error")
    publish_stats = PublishStats()
    watch = NatsWatchdog(
        cast("NatsServer", broken), cast("Connection", broken), publish_stats, Faults(), QUICK
    )
    while now[0] < 1000.0 + 600:
        await watch._check()
        now[0] += 1
        looks += 1
    assert looks == 600
    # After 5, 10, 20, 40, 80, and then every 120 seconds.
    assert len(broken.ended) == 9
    for ended in range(10, 30):  # one that has stored something meanwhile is another matter
        publish_stats.record_reply(stored=True)
        now[0] += module.MIN_RESTART_INTERVAL
        await watch._check()
        assert len(broken.ended) == ended
    publish_stats.reset()
    now[0] += module.RESTART_BACKOFF.first - 1
    await watch._check()
    assert len(broken.ended) == 29


async def test_a_server_near_its_memory_limit_is_reported(
    connection: Connection, tmp_path: Path
) -> None:
    large, faults = UnusableServer(os.getpid(), tmp_path), Faults()
    large.asks = connection
    watch = NatsWatchdog(
        cast("NatsServer", large), cast("Connection", large), PublishStats(), faults
    )
    await watch._check()
    assert faults.problems == []
    large.memory_limit = 1024**2
    await watch._check()
    (problem,) = faults.problems
    assert "slows down above 1 MB" in problem
    assert "more memory" in problem
    large.memory_limit = 2**40
    await watch._check()
    assert faults.problems == []


async def test_a_full_log_grows_by_any_room_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MIN_STORE_BYTES", 20 * module.RAISED_BYTES)
    full = UnusableServer(os.getpid(), tmp_path)
    full.store_limit = 19 * module.RAISED_BYTES
    tries = PublishStats()
    tries.record_reply(full=True)
    monkeypatch.setattr(store, "free", lambda _: 10**9)
    monkeypatch.setattr(store, "MAX_STORE_BYTES", 20 * module.RAISED_BYTES)
    watch = NatsWatchdog(cast("NatsServer", full), cast("Connection", full), tries, Faults())
    assert "its log may have" in (await watch._store_too_small() or "")
    full.store_limit += 1
    assert await watch._store_too_small() is None


async def test_a_server_that_answers_and_stores_nothing_is_replaced(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is logged; only publishers notice."""
    monkeypatch.setattr(ProcessActivity, "progressed_since", lambda *_: False)
    publish_stats = PublishStats()
    mute = UnusableServer(os.getpid(), tmp_path)
    mute.asks = connection
    async with mute.watched(publish_stats):
        began = asyncio.get_running_loop().time()
        await wait_until(lambda: mute.asked > 10)
        assert mute.ended == []

        def is_ended() -> bool:
            publish_stats.record_timeout(began)
            return bool(mute.ended)

        await wait_until(is_ended)
    assert mute.ended[0].startswith("no acknowledgement")
