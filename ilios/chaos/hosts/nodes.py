"""The nodes of a NATS cluster as child processes, with the configuration that operators get."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
from msgspec import Struct, field

from bus import streams
from bus.connection import connect
from bus.errors import BusUnavailable
from ilios.chaos.hosts.network import LOOPBACK, Host
from ilios.nats import configuration
from ilios.nats.server import binary
from ilios.nats.users import OPERATOR
from ilios.runtime.parent_death import die_with_parent
from schemas.ids import DEFAULT_TENANT

READY_TIMEOUT = 60.0  # seconds until there is a leader and all copies are current
ANSWER_TIMEOUT = 5.0  # seconds for one question
LEADER_TIMEOUT = 1.0  # seconds for a question that goes unanswered while nobody leads
READY_INTERVAL = 0.1  # seconds between two looks
ESTABLISHED = "01"  # proc(5), /proc/net/tcp


class NotWhole(Exception):
    """The cluster did not become whole again; the message has what is missing."""


class _Replica(Struct):
    name: str
    current: bool = False
    offline: bool = False


class _Leadership(Struct):
    leader: str = ""
    replicas: list[_Replica] = field(default_factory=list)


class _Answer(Struct):
    """An answer of JetStream about a stream."""

    error: dict[str, object] | None = None
    cluster: _Leadership = field(default_factory=_Leadership)


class NodeProcess:
    """One nats-server, which is stopped and started again."""

    def __init__(self, host: Host, place: configuration.Node, directory: Path) -> None:
        self.host = host
        self.place = place
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The pid of the process that was started last."""
        assert self._process is not None, "start() comes first"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.returncode is None

    async def start(self, environ: Mapping[str, str]) -> None:
        """Start the process; it may not be ready yet."""

        def prepare() -> None:
            die_with_parent()
            self.host.enter()

        with (self._directory / f"{self.place.name}.log").open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                binary(),
                "-c",
                str(self._directory / f"{self.place.name}.conf"),
                env=dict(environ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=prepare,
            )

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process is there."""
        if self.is_running:
            os.kill(self.pid, number)

    async def end(self, number: signal.Signals) -> None:
        """End the process by a signal, and wait until it is gone."""
        self.send(number)
        if self._process is not None:
            await self._process.wait()


class NodeCluster:
    """All nodes, and what they answer to their operator."""

    def __init__(self, hosts: Sequence[Host], directory: Path, environ: Mapping[str, str]) -> None:
        apart = all(host.is_apart for host in hosts)
        with ExitStack() as stack:
            ports = [(4222, 6222) if apart else (_port(stack), _port(stack)) for _ in hosts]
        places = [
            configuration.Node(host.name, host.address, port, routes, str(directory / host.name))
            for host, (port, routes) in zip(hosts, ports, strict=True)
        ]
        configuration.write_configuration(directory, (DEFAULT_TENANT,), places)
        self.nodes = [
            NodeProcess(host, place, directory) for host, place in zip(hosts, places, strict=True)
        ]
        self.operator_url = directory / f"{OPERATOR}.url"
        lines = (directory / configuration.SERVICE_FILE).read_text().splitlines()
        self.settings = dict(line.split("=", 1) for line in lines)
        self._environ = environ

    async def start(self, *nodes: NodeProcess) -> None:
        """Start these nodes, or all."""
        for node in nodes or self.nodes:
            await node.start(self._environ)

    async def end(self, number: signal.Signals) -> None:
        """End all nodes by a signal."""
        await asyncio.gather(*(node.end(number) for node in self.nodes))

    async def wait_until_ready(self) -> None:
        """Wait until JetStream has a leader. Errors as ``wait_until_whole``."""
        stream = {"name": "READY", "subjects": ["ready"], "num_replicas": len(self.nodes)}

        async def problem() -> str:
            body = msgspec.json.encode(stream)
            created = await self._ask("STREAM.CREATE.READY", body, LEADER_TIMEOUT)
            if created.error is None:
                created = await self._ask("STREAM.DELETE.READY")
            return str(created.error or "")

        await self._wait(problem)

    async def wait_until_whole(self) -> None:
        """Wait until the log has a leader, and each node all of it.

        :raises NotWhole: it takes too long.
        """

        async def problem() -> str:
            found = (await self._ask(f"STREAM.INFO.{streams.EVENTS}")).cluster
            if not found.leader:
                return "the log has no leader"
            behind = [one.name for one in found.replicas if not one.current or one.offline]
            return f"not current: {', '.join(behind)}" if behind else ""

        await self._wait(problem)

    async def leader(self, within: float = ANSWER_TIMEOUT) -> NodeProcess:
        """Return the node that leads the log.

        :raises BusUnavailable: nobody knows it at this moment.
        """
        found = (await self._ask(f"STREAM.INFO.{streams.EVENTS}", within=within)).cluster
        for node in self.nodes:
            if node.place.name == found.leader:
                return node
        raise BusUnavailable("the log has no leader")

    async def step_down(self) -> None:
        """Have the leader of the log give its place to another node. Errors as ``leader``."""
        await self._ask(f"STREAM.LEADER.STEPDOWN.{streams.EVENTS}")

    async def _ask(
        self, request: str, body: bytes = b"", within: float = ANSWER_TIMEOUT
    ) -> _Answer:
        url = (await asyncio.to_thread(self.operator_url.read_text)).strip()
        async with connect(url, name="chaos") as connection:
            reply = await connection.request(f"$JS.API.{request}", body, within)
        return msgspec.json.decode(reply.body, type=_Answer)

    def node_of(self, pid: int) -> NodeProcess:
        """Return the node that a process is connected to."""
        peers = _peers(pid)
        for node in self.nodes:
            if (node.place.host, node.place.port) in peers:
                return node
        return self.nodes[0]

    async def _wait(self, problem: Callable[[], Awaitable[str]]) -> None:
        what = ""
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                while True:
                    try:
                        what = await problem()
                        if not what:
                            return
                    except (BusUnavailable, OSError) as error:
                        what = str(error) or type(error).__name__
                    await asyncio.sleep(READY_INTERVAL)
        except TimeoutError:
            message = f"not whole within {READY_TIMEOUT:.0f} s: {what}"
            raise NotWhole(f"the cluster of nats-servers was {message}") from None


def _port(stack: ExitStack) -> int:
    """Return a free port; all of a cluster are taken before the first is given up."""
    taken = stack.enter_context(socket.create_server((LOOPBACK, 0)))
    return int(taken.getsockname()[1])


def _peers(pid: int) -> set[tuple[str, int]]:
    """Return the IPv4 addresses to which a process has connections; proc(5), /proc/net/tcp."""
    own = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            own.add(entry.readlink().name.removeprefix("socket:[").removesuffix("]"))
        except OSError:
            continue
    found = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == ESTABLISHED and fields[9] in own:
            address, _, port = fields[2].partition(":")
            found.add((socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)))
    return found
