"""``python -m ilios.edge_process CHANNEL``: the edge, started by the core.

CHANNEL is the inherited file descriptor of a socket; the first message on it has all the rest.
"""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from ilios import logs
from ilios.core_epoch import edge_epoch
from ilios.database.encryption import use_key
from ilios.database.sqlite import DamageMonitor
from ilios.edge.server import ListeningSockets
from ilios.edge_composition import (
    BusRequests,
    EdgeChecks,
    EdgeSecrets,
    compose_edge,
    load_seal,
    load_signer,
    open_disk_guard,
    serve_both,
)
from ilios.edge_process import messages
from ilios.edge_process.channel import Channel
from ilios.edge_process.core_link import CoreLink, ForwardedPublishStats
from ilios.edge_process.health import EdgeHealth
from ilios.edge_process.messages import FromCore, Ready, Start
from ilios.edge_process.stores import open_stores, wait_until_available
from ilios.integrity.file_watch import FileWatch
from ilios.metrics_serving import CORE_PARTS, edge_exposition
from ilios.passwords.sealed import SealedPasswords
from ilios.runtime import event_loop, process_settings
from ilios.runtime.supervisor import Supervisor
from ilios.runtime.terminals import Terminals
from ilios.settings import transfer


def main() -> None:
    """Serve until SIGTERM, or until the core has ended."""
    event_loop.run(_run(socket.socket(fileno=int(sys.argv[1]))))


async def _run(end: socket.socket) -> None:
    stop, task = asyncio.Event(), asyncio.current_task()
    assert task is not None  # a coroutine of a task has one
    starting, terminals = True, Terminals()

    def on_stop(_: object = None) -> None:
        if not stop.is_set() and starting:
            task.cancel()  # it may wait for a bus or a bucket
        stop.set()
        terminals.detach_closed()

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.handle_loop_exception)
    loop.add_signal_handler(signal.SIGTERM, on_stop)
    try:
        async with Channel.open(end, messages.from_core) as channel:
            start = await channel.receive()
            if not isinstance(start, Start):
                return  # the core has ended
            async with _serving(start, channel, on_stop):
                starting = False
                process_settings.freeze_objects()
                channel.send(Ready())
                await stop.wait()
    except asyncio.CancelledError:
        if not stop.is_set():
            raise


@asynccontextmanager
async def _serving(
    start: Start, channel: Channel[FromCore], on_core_gone: Callable[[object], None]
) -> AsyncIterator[None]:
    """Serve while the context is open."""
    settings = transfer.decode(start.settings)
    logs.set_up(settings.log_level, settings.log_format)
    use_key(settings.database_key)
    damage, supervisor = DamageMonitor(settings.database_path), Supervisor()
    core = CoreLink(channel, start.state, damage)
    receiving = asyncio.create_task(core.run())
    receiving.add_done_callback(on_core_gone)
    sockets = ListeningSockets.inherited(settings.host, start.listening)
    async with AsyncExitStack() as stack:
        stack.callback(receiving.cancel)
        enter = stack.enter_async_context
        publish_stats = ForwardedPublishStats(channel)
        stores = await wait_until_available(
            sockets,
            lambda: enter(
                open_stores(settings, start.bus, publish_stats, damage, core.faults, supervisor)
            ),
        )
        epoch = edge_epoch(stores.connection, start.epoch)
        if epoch is not None:
            # The core may be stopped, and not know yet.
            epoch.superseded.add_done_callback(on_core_gone)
            await enter(supervisor.running("epoch", epoch.watch))
        file_watch = FileWatch(core.faults, start.watched)
        await enter(supervisor.running("watch over files", file_watch.run))
        secrets = EdgeSecrets(
            load_signer(settings),
            SealedPasswords(stores.blobs, load_seal(settings), core.watch_password),
        )
        checks = EdgeChecks(
            open_disk_guard(settings, Path(start.log_store) if start.log_store else None),
            EdgeHealth(core, stores.connection, supervisor),
            core.faults,
            file_watch,
            lambda: core.answers,
        )
        exposition = None
        if settings.has_metrics:
            of_core = {part: partial(core.metrics, part) for part in CORE_PARTS}
            exposition = edge_exposition(of_core, checks.health)
        edge = compose_edge(settings, stores, secrets, checks, exposition)
        violations = stores.connection.permission_violations
        requests = BusRequests(settings, start.bus, violations)
        await enter(serve_both(edge, sockets, requests, supervisor))
        yield


if __name__ == "__main__":
    main()
