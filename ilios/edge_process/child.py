"""The edge process as a child of the core: started, and ended."""

import asyncio
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from ilios.edge.app import SHUTDOWN_TIMEOUT
from ilios.edge.server import ListeningSockets
from ilios.runtime import child_signals
from ilios.runtime.parent_death import die_with_parent

MODULE = "ilios.edge_process"
DRAINED_WITHIN = SHUTDOWN_TIMEOUT + 1.0  # seconds between SIGTERM and SIGKILL


class EdgeChild:
    """A process that waits for its first message, and the core's end of the channel to it."""

    def __init__(self, process: Process, end: socket.socket) -> None:
        self._process = process
        self.end = end

    @classmethod
    async def spawn(cls, sockets: ListeningSockets) -> Self:
        """Start a process that inherits the listening sockets."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",
                    "-m",
                    MODULE,
                    str(theirs.fileno()),
                    stdin=DEVNULL,
                    pass_fds=(theirs.fileno(), *sockets.descriptors),
                    start_new_session=True,  # Ctrl-C goes to us; we drain it in order
                    preexec_fn=die_with_parent,
                )
            except BaseException:
                ours.close()
                raise
        return cls(process, ours)

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.returncode

    async def stop(self) -> None:
        """Let it finish what it has, within ``DRAINED_WITHIN``."""
        await child_signals.stop(self._process, DRAINED_WITHIN)


@asynccontextmanager
async def early_child(sockets: ListeningSockets) -> AsyncIterator[EdgeChild]:
    """Start a process that imports what it needs while the core opens its stores."""
    child = await EdgeChild.spawn(sockets)
    try:
        yield child
    finally:
        await child.stop()
        child.end.close()
