"""Copies of blobs on this machine, for those who need a path: of whatever lies elsewhere.

Each opening has a directory of its own; what a killed process has left there, the next one sweeps.
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
from ilios.blobs import session_dir
from ilios.blobs.files import PendingFile

STEP_BYTES = 1024 * 1024  # written in one go
RESERVED_BYTES = 16 * 1024 * 1024  # bytes, which are for the bus and the database

Fetch = Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[object]]
"""Hands the blob to what it is given, piece by piece."""


class LocalCopies:
    """A directory for copies, 0700 with files of 0600. Make one with ``open``."""

    def __init__(self, tmp: Path, session: Path) -> None:
        self._tmp = tmp
        self._session = session
        self._number = itertools.count()

    @classmethod
    @asynccontextmanager
    async def open(cls, tmp: Path) -> AsyncIterator[Self]:
        """Make ``tmp`` where it is missing, sweep what dead openings left there, and begin one."""
        tmp = await asyncio.to_thread(tmp.absolute)  # who gets a path may work elsewhere
        session, lock = await asyncio.to_thread(session_dir.create, tmp)
        try:
            yield cls(tmp, session)
        finally:
            await asyncio.to_thread(session_dir.remove, session, lock)

    @asynccontextmanager
    async def copy(self, size: int, fetch: Fetch) -> AsyncIterator[Path]:
        """Lend the path of a copy of ``size`` bytes; it is removed afterwards.

        :raises StorageFull: there is no room for it.
        """
        if shutil.disk_usage(self._session).free < size + RESERVED_BYTES:
            raise StorageFull(f"{self._tmp} has no room for a copy of {size} bytes")
        path = self._session / str(next(self._number))
        copied = PendingFile(str(path))
        try:
            await self._fill(copied, fetch)
            yield path
        finally:
            # It waits for a step of a thread that was cancelled, and then removes what it wrote.
            await asyncio.shield(asyncio.to_thread(_remove, copied, path))

    @asynccontextmanager
    async def copy_bytes(self, data: bytes) -> AsyncIterator[Path]:
        """Lend the path of a few bytes that are in memory; it is removed afterwards.

        :raises StorageFull: there is no room for them.
        """
        path = self._session / str(next(self._number))
        copied = PendingFile(str(path))
        try:
            await _run_step(_write, copied, data)
            yield path
        finally:
            # At once, though it blocks: of a file so small the way to a thread would take longer.
            _remove(copied, path)

    async def sweep(self, older_than: timedelta) -> int:
        """Remove what dead openings left, if it is ``older_than``; returns how many copies."""
        return await asyncio.to_thread(session_dir.sweep, self._tmp, older_than.total_seconds())

    async def _fill(self, copied: PendingFile, fetch: Fetch) -> None:
        waiting = bytearray()

        async def take(chunk: bytes) -> None:
            nonlocal waiting
            waiting += chunk
            if len(waiting) >= STEP_BYTES:
                full, waiting = waiting, bytearray()
                await _run_step(copied.write, full)

        await fetch(take)
        await _run_step(copied.write, waiting)
        await _run_step(copied.finish_in_place)


async def _run_step(work: Callable[..., None], *arguments: object) -> None:
    try:
        await asyncio.to_thread(work, *arguments)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(os.strerror(error.errno)) from error
        raise


def _write(copied: PendingFile, data: bytes) -> None:
    copied.write(data)
    copied.finish_in_place()


def _remove(copied: PendingFile, path: Path) -> None:
    copied.abandon()
    path.unlink(missing_ok=True)
