"""A real cluster of three nats-servers on loopback, whose nodes are killed and started again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import nats.errors
from nats.js.errors import Error as JetStreamError

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
    def route(self) -> str:
        """The URL by which other nodes reach this one."""
        return f"nats://127.0.0.1:{self._route_port}"

    def configure(self, others: Sequence["Node"]) -> None:
        """Write the configuration."""
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
            jetstream {{ store_dir: "{self._directory}", strict: true, max_file_store: 4GB }}
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

    def freeze(self) -> None:
        """Stop the process, whose connections stay open."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the process go on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)


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
        first, *others = (node.url for node in self.nodes)
        return ",".join((first.replace("//", f"//{USER}:{PASSWORD}@"), *others))

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


@asynccontextmanager
async def running_cluster(directory: Path, size: int = 3) -> AsyncIterator[Cluster]:
    """Run a cluster while the context is open."""
    nodes = [Node(f"node{number}", directory / f"node{number}") for number in range(size)]
    for node in nodes:
        node.configure([other for other in nodes if other is not node])
    cluster = Cluster(nodes)
    try:
        for node in nodes:
            await node.start()
        await cluster.wait_until_ready()
        yield cluster
    finally:
        for node in nodes:
            await node.kill()
