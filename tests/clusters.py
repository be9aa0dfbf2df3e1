"""A real cluster of three nats-servers on loopback, whose nodes are killed and started again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import nats.errors
from nats.js.errors import Error as JetStreamError

from bus import streams
from bus.connection import connect
from bus.target import Target
from ilios.nats.server import binary
from ilios.runtime.parent_death import die_with_parent
from tests.free_ports import free_port
from tests.waiting import wait_until

USER, PASSWORD = "cluster", "of-three"
READY_TIMEOUT = 30.0  # seconds until a leader of JetStream is elected, on a busy machine


class Node:
    """One nats-server; a cluster of its own without other nodes."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.port, self._route_port = free_port(), free_port()
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """The URL of the node, without credentials."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The pid of the process."""
        assert self._process is not None
        return self._process.pid

    @property
    def route(self) -> str:
        """The URL by which other nodes reach this one."""
        return f"nats://127.0.0.1:{self._route_port}"

    def configure(self, others: Sequence["Node"], sync: str) -> None:
        """Write the configuration. ``sync`` is how often the node writes to its disk."""
        routes = ", ".join(f'"{node.route}"' for node in others)
        cluster = f"""
            cluster {{ name: tests, host: 127.0.0.1, port: {self._route_port}, routes: [{routes}] }}
        """
        self._directory.mkdir(parents=True)
        (self._directory / "nats.conf").write_text(f"""
            server_name: {self.name}
            host: 127.0.0.1
            port: {self.port}
            {cluster if others else ""}
            max_payload: 1MB
            jetstream {{
              store_dir: "{self._directory}", strict: true
              max_file_store: 4GB, sync_interval: {sync}
            }}
            feature_flags {{ js_ack_fc_v2: false }}
            accounts {{
              A {{ jetstream: enabled, users: [{{ user: {USER}, password: {PASSWORD} }}] }}
            }}
        """)

    async def start(self) -> None:
        """Start the process; it may not be ready yet."""
        with (self._directory / "log").open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                binary(),
                "-c",
                str(self._directory / "nats.conf"),
                stdout=output,
                stderr=output,
                preexec_fn=die_with_parent,
            )

    async def kill(self) -> None:
        """End the process by SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    def enter_lame_duck_mode(self) -> None:
        """Have the process take no more clients, and end half a minute later."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGUSR2)

    async def pause(self) -> None:
        """Stop the process until ``resume``; its connections stay open."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        await wait_until(self._is_paused)  # a signal is delivered when the process has a turn

    def resume(self) -> None:
        """Let a paused process go on, with what it has been sent meanwhile."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def _is_paused(self) -> bool:
        assert self._process is not None
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/stat")
        return all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in threads)


class Cluster:
    """Nodes with one user, who may do everything."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes

    @property
    def target(self) -> Target:
        """All nodes, and the credentials."""
        return Target(servers=tuple(node.url for node in self.nodes), user=USER, password=PASSWORD)

    @property
    def urls(self) -> str:
        """The URLs of all nodes as text, with the credentials in the first."""
        first, *others = self.nodes
        return ",".join((self.url_of(first), *(node.url for node in others)))

    def url_of(self, node: Node) -> str:
        """Return the URL of a node, with the credentials."""
        return node.url.replace("//", f"//{USER}:{PASSWORD}@")

    def node_at(self, port: int) -> Node:
        """Return the node with a port."""
        (found,) = (node for node in self.nodes if node.port == port)
        return found

    async def wait_until_ready(self) -> None:
        """Wait until JetStream has a leader with which all nodes are."""

        async def is_ready() -> bool:
            try:
                async with connect(self.target, name="tests") as connection:
                    await connection.jetstream.account_info()
                    await connection.jetstream.add_stream(
                        name="READY", subjects=["ready"], num_replicas=len(self.nodes)
                    )
                    return bool(await connection.jetstream.delete_stream("READY"))
            except (nats.errors.Error, JetStreamError, TimeoutError, OSError):
                return False

        await wait_until(is_ready, READY_TIMEOUT)

    async def leader(self, stream: str) -> Node:
        """Return the node that leads a stream."""
        async with connect(self.target, name="tests") as connection:
            info = await connection.jetstream.stream_info(stream)
        assert info.cluster is not None
        (found,) = (node for node in self.nodes if node.name == info.cluster.leader)
        return found

    async def followers(self, stream: str) -> list[Node]:
        """Return the other nodes."""
        leader = await self.leader(stream)
        return [node for node in self.nodes if node is not leader]

    def target_of(self, node: Node) -> Target:
        """Return one node, and the credentials."""
        return Target(servers=(node.url,), user=USER, password=PASSWORD)

    async def create_streams(self) -> None:
        """Create the streams of ilios on all nodes, and wait until each has them."""

        async def are_current() -> bool:
            async with connect(self.target, name="tests") as connection:
                await streams.ensure(connection.jetstream, len(self.nodes))
                found = (await connection.jetstream.stream_info(streams.EVENTS)).cluster
            if found is None or not found.leader or not found.replicas:
                return False
            return all(replica.current for replica in found.replicas)

        await wait_until(are_current, READY_TIMEOUT)


@asynccontextmanager
async def running_cluster(
    directory: Path, size: int = 3, *, sync: str = "2m"
) -> AsyncIterator[Cluster]:
    """Run a cluster while the context is open; the longer ``sync``, the faster are its events."""
    nodes = [Node(f"node{number}", directory / f"node{number}") for number in range(size)]
    for node in nodes:
        node.configure([other for other in nodes if other is not node], sync)
    cluster = Cluster(nodes)
    try:
        for node in nodes:
            await node.start()
        await cluster.wait_until_ready()
        yield cluster
    finally:
        for node in nodes:
            await node.kill()
