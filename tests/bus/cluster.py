"""Three nats-servers that form a cluster on loopback, each of which can be paused or killed."""

import asyncio
import os
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import nats.errors
from nats.js.errors import Error as JetStreamError

from bus import streams
from bus.connection import Connection, connect
from bus.errors import BusUnavailable
from ilios.runtime.parent_death import die_with_parent
from tests.free_ports import free_port
from tests.waiting import wait_until

BINARY = Path(sysconfig.get_path("scripts")) / "nats-server"
NODES = 3
WITHIN = 60.0  # seconds; the first election of a cluster takes some


class Node:
    """One server of the cluster."""

    def __init__(
        self, directory: Path, number: int, port: int, routes: list[int], sync: str
    ) -> None:
        self.name = f"node{number}"
        self.url = f"nats://127.0.0.1:{port}"
        self._store = directory / self.name
        self._config = directory / f"{self.name}.conf"
        self._process: subprocess.Popen[bytes] | None = None
        others = ", ".join(f'"nats://127.0.0.1:{one}"' for one in routes)
        self._config.write_text(
            f"server_name: {self.name}, host: 127.0.0.1, port: {port}, max_payload: 1MB\n"
            f'jetstream {{ store_dir: "{self._store}", max_file_store: 4GB\n'
            f"  sync_interval: {sync} }}\n"
            f"cluster {{ name: tests, host: 127.0.0.1, port: {routes[number]}\n"
            f"  routes: [{others}] }}\n"
            "feature_flags { js_ack_fc_v2: false }\n"
        )

    def start(self) -> None:
        """Start the server, or start it again; it is not ready yet."""
        with self._config.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(
                [BINARY, "-c", self._config],
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509  # one call, and no locks
            )

    def kill(self) -> None:
        """End the server by SIGKILL, also while it is paused."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def pause(self) -> None:
        """Stop the server until ``resume``; its connections stay open."""
        self._signal(signal.SIGSTOP)
        await wait_until(self._is_paused)  # a signal is delivered when the process has a turn

    def resume(self) -> None:
        """Let a paused server go on, with what it has been sent meanwhile."""
        self._signal(signal.SIGCONT)

    def _is_paused(self) -> bool:
        assert self._process is not None
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/stat")
        return all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in threads)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)


class Cluster:
    """The nodes; the streams of ilios are on all of them."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes

    async def leader(self, connection: Connection) -> Node:
        """Return the node that leads the log, as another one has it."""
        cluster = (await connection.jetstream.stream_info(streams.EVENTS)).cluster
        assert cluster is not None
        return next(node for node in self.nodes if node.name == cluster.leader)

    async def followers(self, connection: Connection) -> list[Node]:
        """Return the other nodes."""
        leader = await self.leader(connection)
        return [node for node in self.nodes if node is not leader]


@contextmanager
def running_cluster(directory: Path, sync: str = "2m") -> Iterator[Cluster]:
    """Run a cluster with the streams on all nodes while the context is open.

    ``sync`` is how often a node writes to its disk; with ``always`` an event is longer on its way.
    """
    directory.mkdir(parents=True, exist_ok=True)
    ports = [free_port() for _ in range(2 * NODES)]
    nodes = [Node(directory, n, ports[n], ports[NODES:], sync) for n in range(NODES)]
    with ExitStack() as stack:
        for node in nodes:
            node.start()
            stack.callback(node.kill)
        # In a thread, because a test may have a loop already.
        with ThreadPoolExecutor(1) as thread:
            ready = wait_until(lambda: _has_streams(nodes[0]), within=WITHIN)
            thread.submit(asyncio.run, ready).result()
        yield Cluster(nodes)


async def _has_streams(node: Node) -> bool:
    """Whether the streams could be created: there is a leader, and all servers are there."""
    try:
        async with connect(node.url, name="setup") as connection:
            await streams.ensure(connection.jetstream, NODES)
            info = await connection.jetstream.stream_info(streams.EVENTS)
    except (BusUnavailable, nats.errors.Error, JetStreamError, TimeoutError):
        return False
    cluster = info.cluster
    if cluster is None or not cluster.leader or not cluster.replicas:
        return False
    return all(replica.current for replica in cluster.replicas)
