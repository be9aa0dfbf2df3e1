"""The service as a child process, and its own children: whom to kill and to pause. Linux only.

Everything it has lies in one directory. By that the processes it has started are found also when
their parents are gone: each has a place there in its environment, and nobody else has.
"""

import asyncio
import ctypes
import os
import signal
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

READY_WITHIN = 60.0  # seconds; it takes one on an idle machine
STOPPED_WITHIN = 30.0  # seconds; it promises fifteen
GONE_WITHIN = 10.0  # seconds until all have ended who were killed
LOOK_EVERY = 0.02  # seconds
LAST_LINES = 12  # of the log, where it says why it does not start

Target = Literal["service", "nats-server", "engine", "all"]
TARGETS: tuple[Target, ...] = ("service", "nats-server", "engine", "all")

_COMMAND_MARKERS: Mapping[str, str] = {
    "nats-server": "nats-server",
    "engine": "ilios.engines.local.child",
}
_SOURCES = Path(__file__).resolve().parents[2]
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)  # loaded here: between fork and exec a lock may be held for ever


class DidNotStart(Exception):
    """The service did not become ready; the message has its last words."""


class NoSuchProcess(Exception):
    """There is no such process at this moment."""


class ServiceProcess:
    """``ilios serve`` with its children, in ``directory``, on free ports, with default settings.

    ``url`` is where it listens, a new place after each start.
    """

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        self.log = directory / "service.log"
        self.url = ""
        self.starts = 0
        self._directory = directory
        self._scratch = directory / "tmp"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def exit_code(self) -> int | None:
        """The exit code of the service, negative for a signal; None while it runs."""
        assert self._process is not None  # started before anybody asks
        return self._process.returncode

    async def start(self) -> None:
        """Start it and wait until it says where it listens.

        :raises DidNotStart: it ended, or took too long.
        """
        await self.spawn()
        await self.wait_until_ready()

    async def spawn(self) -> None:
        """Start it without waiting until it is ready."""
        self._scratch.mkdir(exist_ok=True)
        self.starts += 1
        self.url = ""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self.command(),
                cwd=self._directory,
                env=self._environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # a Ctrl-C on the terminal is for us, who clear up
                preexec_fn=_die_with_parent,
            )

    def command(self) -> tuple[str, ...]:
        """Return what Python is to run."""
        return ("-m", "ilios", "serve")

    async def wait_until_ready(self) -> None:
        """Wait until it says where it listens. Errors as ``start``."""
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(READY_WITHIN):
                async for line in self._process.stdout:
                    words = line.decode(errors="replace").split()
                    if words[:1] == ["HTTP"]:
                        self.url = words[1]
                        return
                code = await self._process.wait()
        except TimeoutError:
            raise DidNotStart(
                self._with_log_tail(f"not ready within {READY_WITHIN:.0f} s")
            ) from None
        raise DidNotStart(self._with_log_tail(f"ended with code {code} before it was ready"))

    def pids(self, target: Target) -> list[int]:
        """Return who has to be hit. Of several engine processes only one, but for ``all``.

        :raises NobodyThere: there is none.
        """
        assert self._process is not None
        service = [self._process.pid] if self._process.returncode is None else []
        children = list(_descendants(self._process.pid)) if service else []
        found = {
            "service": service,
            "nats-server": [
                pid for pid in children if _COMMAND_MARKERS["nats-server"] in _command(pid)
            ],
            "engine": [pid for pid in children if _COMMAND_MARKERS["engine"] in _command(pid)][:1],
            "all": [*children, *service],
        }[target]
        if not found:
            raise NoSuchProcess(target)
        return found

    async def kill(self, target: Target) -> None:
        """``kill -9``; returns when the service has ended, if it is hit. Errors as ``pids``."""
        self._send(self.pids(target), signal.SIGKILL)
        if target in ("service", "all"):
            assert self._process is not None
            await self._process.wait()

    async def pause(self, target: Target, seconds: float) -> None:
        """SIGSTOP, and SIGCONT so many seconds later. Errors as ``pids``."""
        pids = self.pids(target)
        self._send(pids, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._send(pids, signal.SIGCONT)

    async def stop(self) -> int:
        """Ask it to stop, and return its exit code; after ``STOPPED_WITHIN`` it is killed."""
        assert self._process is not None
        self._send([self._process.pid], signal.SIGTERM)
        try:
            async with asyncio.timeout(STOPPED_WITHIN):
                await self._process.wait()
        except TimeoutError:
            await self.kill("all")
        return await self._process.wait()

    async def leftover_processes(self) -> list[str]:
        """Return the commands of processes that outlive the service, once time has shown it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(GONE_WITHIN):
                while any(self._own_pids()):  # noqa: ASYNC110  # the kernel tells nobody
                    await asyncio.sleep(LOOK_EVERY)
        return [f"{pid} {_command(pid)}" for pid in self._own_pids()]

    async def kill_leftovers(self) -> None:
        """Leave no process behind, whatever state it is in."""
        self._send(list(self._own_pids()), signal.SIGKILL)
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(GONE_WITHIN):
                while left := list(self._own_pids()):
                    self._send(left, signal.SIGKILL)
                    await asyncio.sleep(LOOK_EVERY)

    def log_tail(self) -> str:
        """Return the last lines of its log."""
        try:
            with self.log.open(encoding="utf-8", errors="replace") as log:
                return "".join(deque(log, LAST_LINES))
        except FileNotFoundError:
            return ""

    def _environment(self) -> dict[str, str]:
        """Return an environment without the settings of the shell: the defaults are tried out."""
        search = [str(_SOURCES), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        return {
            "PATH": os.environ.get("PATH", ""),
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(search),
            "TMPDIR": str(self._scratch),
            "PORT": "0",
            "ILIOS_NATS_PORT": "0",
            "ILIOS_DATA_DIR": str(self.data),
            "ILIOS_LOG_FORMAT": "json",
        }

    def _with_log_tail(self, what: str) -> str:
        return f"the service {what}; the end of its log:\n{self.log_tail()}"

    def _own_pids(self) -> Iterator[int]:
        # Not by the directory alone: the shell we were started from may have it in its command.
        store = msgspec.json.encode(str(self.data))[:-1]
        marks = (f"TMPDIR={self._scratch}".encode(), b"ILIOS_NATS_STORE=" + store)
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    # Of a dead one that was not reaped yet there is nothing to read.
                    environ = (entry / "environ").read_bytes()
                    if any(mark in environ for mark in marks):
                        yield int(entry.name)

    @staticmethod
    def _send(pids: list[int], number: signal.Signals) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def _descendants(pid: int) -> Iterator[int]:
    """Yield all children, the youngest generation first; proc(5), ``/proc/[pid]/task``."""
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):
            for child in map(int, (task / "children").read_text().split()):
                yield from _descendants(child)
                yield child


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
    except OSError:
        return ""


def _die_with_parent() -> None:
    # Whoever kills us with -9 must not be left with a service that nobody knows of.
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
