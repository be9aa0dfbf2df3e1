"""Local copies of remote blobs, for code that needs a path.

Each process has a session directory; the next one sweeps that of a killed process.
"""

import asyncio
import errno
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Self

from actors.ports import StorageFull
from ilios.blobs.files import PendingFile, create_session, remove_session, sweep_sessions

STEP_BYTES = 1024 * 1024  # written in one go
RESERVED_BYTES = 16 * 1024 * 1024  # left free for the bus and the database

Fetch = Callable[[Callable[[int], None], Callable[[bytes], Awaitable[None]]], Awaitable[object]]
"""Passes the size of the blob to its first argument, and then the blob to its second, in chunks."""


class LocalCopies:
    """A directory of mode 0700 for copies of mode 0600. Create one with ``open``."""

    def __init__(self, tmp: Path, session: Path) -> None:
        self._tmp = tmp
        self._session = session
        self._number = itertools.count()

    @classmethod
    @asynccontextmanager
    async def open(cls, tmp: Path) -> AsyncIterator[Self]:
        """Create a session in ``tmp`` (created if missing); sweep those of dead processes."""
        tmp = await asyncio.to_thread(
            tmp.absolute
        )  # readers of a copy may have another working directory
        session, lock = await asyncio.to_thread(create_session, tmp)
        try:
            yield cls(tmp, session)
        finally:
            await asyncio.to_thread(remove_session, session, lock)

    @asynccontextmanager
    async def copy(self, fetch: Fetch) -> AsyncIterator[Path]:
        """Return the path of a copy; leaving the context removes it.

        :raises StorageFull: there is no room for it.
        """
        path = self._session / str(next(self._number))
        copied = PendingFile(str(path))
        try:
            await self._fill(copied, fetch)
            yield path
        finally:
            # Waits for a cancelled step of a thread, and removes what it wrote.
            await asyncio.shield(asyncio.to_thread(_remove, copied, path))

    @asynccontextmanager
    async def copy_bytes(self, data: bytes) -> AsyncIterator[Path]:
        """Return the path of a copy of a few bytes; leaving the context removes it.

        :raises StorageFull: there is no room for them.
        """
        path = self._session / str(next(self._number))
        copied = PendingFile(str(path))
        try:
            await _run_step(_write, copied, data)
            yield path
        finally:
            # It blocks, for less time than a switch to a thread would take.
            _remove(copied, path)

    async def sweep(self, older_than: timedelta) -> int:
        """Remove copies of dead processes that are ``older_than``; returns their number."""
        return await asyncio.to_thread(sweep_sessions, self._tmp, older_than.total_seconds())

    async def _fill(self, copied: PendingFile, fetch: Fetch) -> None:
        waiting = bytearray()

        async def take(chunk: bytes) -> None:
            nonlocal waiting
            waiting += chunk
            if len(waiting) >= STEP_BYTES:
                full, waiting = waiting, bytearray()
                await _run_step(copied.write, full)

        await fetch(self._require_room, take)
        await _run_step(_write, copied, waiting)

    def _require_room(self, size: int) -> None:
        if shutil.disk_usage(self._session).free < size + RESERVED_BYTES:
            raise StorageFull(f"{self._tmp} has no room for a copy of {size} bytes")


async def _run_step(work: Callable[..., None], *arguments: object) -> None:
    try:
        await asyncio.to_thread(work, *arguments)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(os.strerror(error.errno)) from error
        raise


def _write(copied: PendingFile, data: bytes | bytearray) -> None:
    copied.write(data)
    copied.finish_in_place()


def _remove(copied: PendingFile, path: Path) -> None:
    copied.abandon()
    path.unlink(missing_ok=True)
