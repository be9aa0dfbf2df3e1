"""The life of a process that works until a signal stops it."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

import structlog

from ilios import logs
from ilios.cli import ExitCode
from ilios.runtime import event_loop
from ilios.runtime.terminals import Terminals

STOPPED_WITHIN = 15.0
"""Seconds from the first signal until nothing of the service is left, whatever hangs."""
_LOG_BEFORE_EXIT = 0.5  # seconds; a log that hangs must not delay the exit

log = structlog.get_logger("serve")


class Stop:
    """A signal to stop. Until ``started`` is called it also cancels the task: a start may wait."""

    def __init__(self, task: asyncio.Task[object]) -> None:
        self._task = task
        self._terminals = Terminals()
        self._signalled = asyncio.Event()
        self._starting = True

    @property
    def is_set(self) -> bool:
        """Whether a signal has come."""
        return self._signalled.is_set()

    def started(self) -> None:
        """Record that the start is over."""
        self._starting = False

    def starting(self) -> None:
        """Record that a start begins again."""
        self._starting = True

    async def wait(self) -> None:
        """Wait for a signal."""
        await self._signalled.wait()

    def on_signal(self) -> None:
        """Stop; the second time at once."""
        if self._signalled.is_set():
            _exit_now()
        self._signalled.set()
        _start_exit_timers()
        self._terminals.detach_closed()
        log.info("stopping; a second signal stops at once")
        if self._starting:  # a start may wait for a bus, or check a large database, for longer
            self._task.cancel()


@asynccontextmanager
async def until_signal() -> AsyncIterator[Stop]:
    """Stop at SIGINT, SIGTERM or SIGHUP; a start that is cancelled by one is no error."""
    task = asyncio.current_task()
    assert task is not None  # a coroutine of a task has one
    stop = Stop(task)
    log.info("event loop", library=event_loop.NAME)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.handle_loop_exception)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup ignores SIGHUP, which must stay so.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            loop.add_signal_handler(number, stop.on_signal)
    try:
        yield stop
    except asyncio.CancelledError:
        if not stop.is_set:
            raise
    log.info("stopped")


def _exit_now() -> NoReturn:
    """Exit at once. Unfinished work is redelivered by the log; the kernel ends the children."""
    os._exit(ExitCode.INTERRUPTED)


def _start_exit_timers() -> None:
    """Start the timers that end the process; threads, because the event loop may hang."""
    message = "not stopped in time, exiting; nothing accepted is lost"
    for after, what in (
        (STOPPED_WITHIN - _LOG_BEFORE_EXIT, lambda: log.error(message)),
        (STOPPED_WITHIN, _exit_now),
    ):
        timer = threading.Timer(after, what)
        timer.daemon = True
        timer.start()
