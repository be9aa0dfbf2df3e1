"""A nats-server that a former run has left behind, although it should have died with it."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import structlog

LOOK_EVERY = 0.02  # seconds

log = structlog.get_logger("nats-server")


def pid_file(directory: Path) -> Path:
    """Return where the server of a directory writes down its process id."""
    # Absolute: by this name in its command line a leftover of ours is told from anybody else's.
    return directory.absolute() / "nats-server.pid"


async def terminate(directory: Path, within: float) -> None:
    """End a server of a former run that holds the store; after ``within`` seconds by force."""
    path = pid_file(directory)
    try:
        pid = int(path.read_text())
        command = _command(pid)
    except (OSError, ValueError):
        return
    # The number may meanwhile belong to somebody else: only ours has our pid file in its command.
    if str(path).encode() not in command:
        return
    log.warning("ending a nats-server left over from a former run", pid=pid)
    deadline = asyncio.get_running_loop().time() + within
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        while _is_alive(pid):
            if asyncio.get_running_loop().time() > deadline:
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(LOOK_EVERY)


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _is_alive(pid: int) -> bool:
    """Whether the process still runs; one that ended and was not reaped yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")
