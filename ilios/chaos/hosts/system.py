"""A service on several hosts: NATS nodes, a core, worker hosts and a store, all real processes."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bus.errors import BusUnavailable
from ilios.blobs.local import LocalBlobs
from ilios.chaos.hosts.network import Host, Network
from ilios.chaos.hosts.nodes import NodeCluster, NodeProcess
from ilios.chaos.hosts.store import SharedStore
from ilios.chaos.processes import (
    ENGINE,
    SERVE,
    IsolatedService,
    NoSuchProcess,
    ServiceProcess,
    Target,
    keys_of,
)

LEAVE_TIME = 3.0  # seconds in which the clients of a lame duck have to be gone
SEALING_KEY = "passwords.key"
WORK = ("-m", "ilios", "run", "fetcher", "ocr")


class WorkerProcess(ServiceProcess):
    """``ilios run fetcher ocr`` on a host."""

    def __init__(
        self,
        host: Host,
        environ: Mapping[str, str],
        log: Path,
        *,
        directory: Path,
        run: Sequence[str] = WORK,
    ) -> None:
        self.host = host
        self._run = tuple(run)
        super().__init__(environ, directory=directory, log=log)

    def command(self) -> tuple[str, ...]:
        """Return the arguments of Python."""
        return self._run

    def prepare_child(self) -> None:
        """Prepare the child, and move it to its host."""
        super().prepare_child()
        self.host.enter()


class ServiceOnHosts(IsolatedService):
    """The core, and everything beside it, in ``directory``."""

    def __init__(
        self,
        directory: Path,
        network: Network,
        nodes: int,
        workers: int,
        seed: int = 0,
        *,
        serve: Sequence[str] = SERVE,
        work: Sequence[str] = WORK,
        **settings: str,
    ) -> None:
        self._serve, self._work = tuple(serve), tuple(work)
        self.host = network.add("core")
        self.network = network
        self._directory = directory
        self._random = random.Random(seed)  # noqa: S311  # which of several is hit
        self._common = {"LANG": "C.UTF-8", "TMPDIR": str(directory / "tmp")}
        bus = directory / "bus"
        bus.mkdir()
        self.nodes = NodeCluster(
            [network.add(f"node{number}") for number in range(1, nodes + 1)], bus, self._common
        )
        self.store = SharedStore(network.add("store"), directory / "store")
        shared = {
            **self.nodes.settings,
            **self.store.settings,
            "WORKER_COUNT": "1",
            **settings,
        }
        beyond = {"ILIOS_HOST": self.host.address, "ILIOS_INSECURE": "true"}
        super().__init__(directory, **shared, **(beyond if self.host.is_apart else {}))
        self.operator_url = self.nodes.operator_url
        self.workers = [
            self._worker(network.add(f"worker{number}"), shared) for number in range(1, workers + 1)
        ]
        self._is_set_up = False
        self._killed: set[ServiceProcess] = set()
        self._ended: list[str] = []
        self._repairs: set[asyncio.Task[None]] = set()

    def _worker(self, host: Host, shared: Mapping[str, str]) -> WorkerProcess:
        data = self._directory / host.name
        environ = dict(self._environ) | dict(shared)
        for name in ("ILIOS_HOST", "ILIOS_INSECURE"):
            environ.pop(name, None)
        environ |= {
            "ILIOS_DATA_DIR": str(data),
            "ILIOS_SEAL_KEY_FILE": str(self.data / SEALING_KEY),
        }
        log = self._directory / f"{host.name}.log"
        return WorkerProcess(host, environ, log, directory=self._directory, run=self._work)

    def command(self) -> tuple[str, ...]:
        """Return the arguments of Python."""
        return self._serve

    def prepare_child(self) -> None:
        """Prepare the child, and move it to its host."""
        super().prepare_child()
        self.host.enter()

    async def start(self) -> None:
        """Start the core; the first time also nodes, store and workers. Errors as that of one."""
        first, self._is_set_up = not self._is_set_up, True
        if first:
            (self._directory / "tmp").mkdir()
            await self.nodes.start()
            await self.store.start(self._common)
            await self.nodes.wait_until_ready()
        await super().start()
        if first:
            await asyncio.gather(*(worker.start() for worker in self.workers))

    async def stop(self) -> int:
        """Stop workers, core and the rest; returns the exit code of the core."""
        await self._settle()
        self._note_ended()
        for code in await asyncio.gather(*(worker.stop() for worker in self.workers)):
            if code:
                self._ended.append(f"a worker, which stopped with code {code}")
        code = await super().stop()
        await self.nodes.end(signal.SIGTERM)
        await self.store.end()
        return code

    async def kill_leftovers(self) -> None:
        """Kill every process, whatever state it is in."""
        for repair in self._repairs:
            repair.cancel()
        await asyncio.gather(*self._repairs, return_exceptions=True)
        await super().kill_leftovers()

    def ended_by_themselves(self) -> list[str]:
        """Return what has ended although it was not killed."""
        return self._ended

    async def blob_keys(self) -> AsyncIterator[str]:
        """Yield the key of each stored blob."""
        if self.store.is_server:
            for key in self.store.stored_keys():
                yield key
            return
        async with LocalBlobs.open(self.store.directory) as blobs:
            async for key in keys_of(blobs):
                yield key

    def pids(self, target: Target) -> list[int]:
        """Return the processes to signal, of the core and for engines also of the workers."""
        if target != "engine":
            return super().pids(target)
        hosts: list[ServiceProcess] = [self, *self.workers]
        found = [pid for host in hosts if not self._is_down(host) for pid in host.children(ENGINE)]
        if not found:
            raise NoSuchProcess(target)
        return [self._random.choice(found)]

    async def disturb(self, target: str, action: str, seconds: float) -> float:
        """Play a fault; returns when it was over, or the killed process dead.

        :raises NoSuchProcess: there is nothing to hit at this moment.
        :raises NotWhole: the cluster of an earlier fault did not recover.
        """
        if target in ("core", "service"):
            await self._disturb_core(action, seconds)
        elif target == "worker":
            await self._disturb_worker(action, seconds)
        elif target == "store":
            await self._disturb_store(action, seconds)
        else:
            await self._settle()
            await self.nodes.wait_until_whole()
            await self._disturb_nodes(target, action, seconds)
        return time.monotonic()

    async def _disturb_core(self, action: str, seconds: float) -> None:
        if action == "pause":
            await self.pause("service", seconds)
        elif action in ("kill", "kill twice"):
            await self.kill("all")
        else:
            with self._host_with(self.host, action):
                await asyncio.sleep(seconds)

    async def _disturb_worker(self, action: str, seconds: float) -> None:
        self._note_ended()
        running = [worker for worker in self.workers if not self._is_down(worker)]
        if not running:
            raise NoSuchProcess("worker")
        worker = self._random.choice(running)
        if action in ("kill", "restart"):
            self._killed.add(worker)
            if action == "restart":
                if code := await worker.stop():
                    self._ended.append(f"{worker.host.name}, which stopped with code {code}")
            else:
                await worker.kill("all")
            self._repair(seconds, partial(self._start_worker, worker))
        elif action == "pause":
            await worker.pause("all", seconds)
        else:
            with self._host_with(worker.host, action):
                await asyncio.sleep(seconds)

    async def _start_worker(self, worker: WorkerProcess) -> None:
        await worker.start()
        self._killed.discard(worker)

    async def _disturb_store(self, action: str, seconds: float) -> None:
        if action == "pause":
            self.store.send(signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                self.store.send(signal.SIGCONT)
            return
        with self._host_with(self.store.host, action):
            await asyncio.sleep(seconds)

    async def _disturb_nodes(self, target: str, action: str, seconds: float) -> None:
        hit = await self._choose_nodes(target)
        match action:
            case "kill":
                await asyncio.gather(*(node.end(signal.SIGKILL) for node in hit))
                self._repair(seconds, partial(self.nodes.start, *hit))
            case "step down":
                await self.nodes.step_down()
            case "lame duck":
                hit[0].send(signal.SIGUSR2)
                await asyncio.sleep(LEAVE_TIME)
                await hit[0].end(signal.SIGKILL)  # it would take at least half a minute
                self._repair(seconds, partial(self.nodes.start, *hit))
            case "pause":
                hit[0].send(signal.SIGSTOP)
                try:
                    await asyncio.sleep(seconds)
                finally:
                    hit[0].send(signal.SIGCONT)
            case _:
                with self._host_with(hit[0].host, action):
                    await asyncio.sleep(seconds)

    async def _choose_nodes(self, target: str) -> list[NodeProcess]:
        if target == "two nodes":
            return self._random.sample(self.nodes.nodes, 2)
        if target == "leader":
            try:
                return [await self.nodes.leader()]
            except BusUnavailable as error:
                raise NoSuchProcess(target) from error
        if target == "our node" and self.exit_code is None:
            return [self.nodes.node_of(self.pid)]
        return [self._random.choice(self.nodes.nodes)]

    @contextmanager
    def _host_with(self, host: Host, action: str) -> Iterator[None]:
        """Cut a host off, isolate its node, or slow it down, for the time of the context."""
        peers = [node.host for node in self.nodes.nodes if node.host is not host]

        def apply(broken: bool) -> None:  # noqa: FBT001
            match action:
                case "cut":
                    host.set_connected(not broken)
                case "isolate":
                    host.set_reachable(peers, not broken)
                case "slow":
                    host.set_slow(broken)

        apply(True)  # noqa: FBT003
        try:
            yield
        finally:
            apply(False)  # noqa: FBT003

    def _repair(self, after: float, start: Callable[[], Coroutine[object, object, None]]) -> None:
        async def run() -> None:
            await asyncio.sleep(after)
            await start()

        self._repairs.add(asyncio.create_task(run()))

    async def _settle(self) -> None:
        """Wait until everything that was killed is started again. Errors as ``start``."""
        while self._repairs:
            await self._repairs.pop()

    def _is_down(self, host: ServiceProcess) -> bool:
        return host in self._killed or host.exit_code is not None

    def _note_ended(self) -> None:
        """Note the workers that ended by themselves, and have them started again."""
        for worker in self.workers:
            if worker not in self._killed and worker.exit_code is not None:
                tail = worker.log_tail()
                self._ended.append(f"{worker.host.name} (code {worker.exit_code}): {tail}")
                self._killed.add(worker)
                self._repair(0.0, partial(self._start_worker, worker))
