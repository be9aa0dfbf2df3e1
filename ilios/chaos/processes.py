"""A service as a child process: start, readiness, children, signals and stop. Linux only.

``ServiceProcess`` is the one runner of the chaos command, the tests and the benchmarks;
``IsolatedService`` adds what the chaos command needs to leave nothing behind.
"""

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from ilios.blobs.local import LocalBlobs
from ilios.runtime.child_signals import send_signal
from ilios.runtime.parent_death import die_with_parent

READY_TIMEOUT = 60.0  # seconds; a start takes one on an idle machine
STOP_TIMEOUT = 30.0  # seconds; the service promises fifteen
EXIT_TIMEOUT = 10.0  # seconds until killed processes are gone
POLL_INTERVAL = 0.02  # seconds
BLOB_PAGE = 1000  # blobs listed at once
LOG_TAIL_LINES = 12  # enough for the reason why a service does not start

Target = Literal["service", "edge", "nats-server", "engine", "all"]

LOSS_EVENT = '"event":"events lost"'
SERVE = ("-m", "ilios", "serve")
NATS_SERVER, ENGINE, EDGE = "nats-server", "ilios.engines.local.child", "ilios.edge_process"
"""Parts of the command lines by which the children of a service are recognised."""
ROOT = Path(__file__).resolve().parents[2]


class DidNotStart(Exception):
    """The service did not become ready; the message ends with the last lines of its log."""


class NoSuchProcess(Exception):
    """There is no such process at this moment."""


class ServiceProcess:
    """A process that prints ``HTTP <url>``, or the URL, once it is ready; and its children.

    ``url`` changes with each start. Stderr is appended to ``log``, or inherited without one.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        directory: Path = ROOT,
        log: Path | None = None,
        python: str = sys.executable,
    ) -> None:
        self.url = ""
        self.starts = 0
        self.log = log
        self._environ = environ
        self._directory = directory
        self._python = python
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The pid of the service itself."""
        return self._started.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code of the service, negative for a signal; None while it runs."""
        return self._started.returncode

    @property
    def _started(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "start() comes first"
        return self._process

    def command(self) -> tuple[str, ...]:
        """Return the arguments of Python."""
        return SERVE

    async def start(self) -> None:
        """Start the service and wait until it is ready.

        :raises DidNotStart: it ended, or took too long.
        """
        await self.spawn()
        await self.wait_until_ready()

    async def spawn(self) -> None:
        """Start the service without waiting until it is ready."""
        self.starts += 1
        self.url = ""
        stderr = self.log.open("ab") if self.log else None
        try:
            self._process = await asyncio.create_subprocess_exec(
                self._python,
                *self.command(),
                cwd="/",  # which has no .env
                env={
                    "PATH": os.environ.get("PATH", ""),
                    "PYTHONPATH": str(self._directory),
                    **self._environ,
                },
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,  # Ctrl-C on the terminal is for us, who clean up
                preexec_fn=self.prepare_child,
            )
        finally:
            if stderr is not None:
                stderr.close()

    def prepare_child(self) -> None:
        """Prepare the child before it becomes the service: runs between fork and exec."""
        die_with_parent()  # a `kill -9` of ours must not leave a service running

    async def wait_until_ready(self) -> None:
        """Wait until the service prints its URL. Errors as ``start``."""
        process = self._started
        assert process.stdout is not None
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                async for line in process.stdout:
                    match line.decode(errors="replace").split():
                        case ["HTTP", url, *_] | [url] if url.startswith("http://"):
                            self.url = url
                            return
                reason = f"ended with code {await process.wait()} before it was ready"
        except TimeoutError:
            reason = f"not ready within {READY_TIMEOUT:.0f} s"
        raise DidNotStart(f"the service {reason}; the end of its log:\n{self.log_tail()}")

    def children(self, marker: str = "") -> list[int]:
        """Return the descendants whose command line contains ``marker``, parents last."""
        return [pid for pid in _descendants(self.pid) if marker in command_line(pid)]

    def pids(self, target: Target) -> list[int]:
        """Return the processes to signal: of several engine processes one, except for ``all``.

        :raises NoSuchProcess: there is none.
        """
        service = [self.pid] if self.exit_code is None else []
        found = {
            "service": service,
            "edge": self.children(EDGE),
            "nats-server": self.children(NATS_SERVER),
            "engine": self.children(ENGINE)[:1],
            "all": [*self.children(), *service],
        }[target]
        if not found:
            raise NoSuchProcess(target)
        return found

    async def kill(self, target: Target) -> None:
        """Send SIGKILL; returns when the service has ended, if it is hit. Errors as ``pids``."""
        _send(self.pids(target), signal.SIGKILL)
        if target in ("service", "all"):
            await self._started.wait()

    async def pause(self, target: Target, seconds: float) -> None:
        """Send SIGSTOP, and SIGCONT after ``seconds``. Errors as ``pids``."""
        pids = self.pids(target)
        _send(pids, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            _send(pids, signal.SIGCONT)

    async def disturb(self, target: str, action: str, seconds: float) -> float:
        """Play a fault that only a service on several hosts can have; returns when it was over.

        Errors as ``pids``.
        """
        raise NoSuchProcess(f"{target}: {action} for {seconds} s")

    async def stop(self) -> int:
        """Send SIGTERM and return the exit code; after ``STOP_TIMEOUT`` everything is killed."""
        process = self._started
        if process.returncode is None:
            _send([process.pid], signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await process.wait()
        except TimeoutError:
            await self.kill("all")
        return await process.wait()

    def log_tail(self) -> str:
        """Return the last lines of the log."""
        try:
            with (self.log or Path(os.devnull)).open(encoding="utf-8", errors="replace") as log:
                return "".join(deque(log, LOG_TAIL_LINES))
        except FileNotFoundError:
            return ""


class IsolatedService(ServiceProcess):
    """``ilios serve`` with default settings, on free ports, whose files all lie in ``directory``.

    Its processes are found even when their parents are gone: the environment of each names a path
    below ``directory``, and that of no other process does.
    """

    def __init__(self, directory: Path, **settings: str) -> None:
        self.data = directory / "data"
        self.operator_url = self.data / "nats" / "operator.url"
        self._scratch = directory / "tmp"
        search = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        # No other setting of the shell: the defaults are put to the test.
        environ = {
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(search),
            "TMPDIR": str(self._scratch),
            "PORT": "0",
            "ILIOS_NATS_PORT": "0",
            "ILIOS_DATA_DIR": str(self.data),
            "ILIOS_LOG_FORMAT": "json",
            **settings,
        }
        super().__init__(environ, directory=directory, log=directory / "service.log")

    async def spawn(self) -> None:
        """Start the service without waiting until it is ready."""
        self._scratch.mkdir(exist_ok=True)
        await super().spawn()

    async def blob_keys(self) -> AsyncIterator[str]:
        """Yield the key of each stored blob."""
        async with LocalBlobs.open(self.data / "blobs") as blobs:
            async for key in keys_of(blobs):
                yield key

    def ended_by_themselves(self) -> list[str]:
        """Return the processes besides the service that ended although they were not killed."""
        return []

    def false_alarms(self) -> list[str]:
        """Return what the service has reported as lost from the log, which no fault takes."""
        log = self.log.read_text(errors="replace") if self.log and self.log.exists() else ""
        return [line for line in log.splitlines() if LOSS_EVENT in line]

    async def leftover_processes(self, within: float = EXIT_TIMEOUT) -> list[str]:
        """Wait until its processes are gone; return the pid and command of each that is not."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while any(self._own_pids()):  # noqa: ASYNC110  # the kernel sends no event
                    await asyncio.sleep(POLL_INTERVAL)
        return [f"{pid} {command_line(pid)}" for pid in self._own_pids()]

    async def kill_leftovers(self) -> None:
        """Kill every process of the service, whatever state it is in."""
        _send(self._own_pids(), signal.SIGKILL)
        if self._process is not None:
            send_signal(self._process, signal.SIGKILL)
            await self._process.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(EXIT_TIMEOUT):
                while left := list(self._own_pids()):
                    _send(left, signal.SIGKILL)
                    await asyncio.sleep(POLL_INTERVAL)

    def _own_pids(self) -> Iterator[int]:
        # Exact variables: the shell that started us may have the directory in its environment.
        store = msgspec.json.encode(str(self.data))[:-1]
        marks = (f"TMPDIR={self._scratch}".encode(), b"ILIOS_NATS_STORE=" + store)
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):  # ended, or another user's
                    environ = (entry / "environ").read_bytes()
                    if any(mark in environ for mark in marks):
                        yield int(entry.name)


async def keys_of(blobs: LocalBlobs) -> AsyncIterator[str]:
    """Yield the key of each blob."""
    position = None
    while True:
        page, position = await blobs.list_page("", position, BLOB_PAGE)
        for blob in page:
            yield blob.key
        if position is None:
            return


def command_line(pid: int) -> str:
    """Return the command line of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
    except OSError:
        return ""


def _descendants(pid: int) -> Iterator[int]:
    """Yield all descendants, the youngest generation first; proc(5), ``/proc/[pid]/task``."""
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):
            for child in map(int, (task / "children").read_text().split()):
                yield from _descendants(child)
                yield child


def _send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
