"""Files of another service, in a directory or a bucket; nothing there is written."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Protocol

from actors.ports import BlobNotFound
from ilios.blobs.s3 import S3Config

CHUNK_BYTES = 1024 * 1024
_S3_MODULE = "ilios.blobs.s3.former"


class FormerFiles(Protocol):
    """Files by their keys."""

    def read(self, key: str) -> AsyncIterator[bytes]:
        """Stream a file.

        :raises BlobNotFound: on the first step, there is none.
        """


class _OpenBucket(Protocol):
    def open_former_bucket(self, config: S3Config) -> AbstractAsyncContextManager[FormerFiles]: ...


class FormerDirectory:
    """Files below a directory, their keys being their paths."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    async def read(self, key: str) -> AsyncIterator[bytes]:
        """Stream a file.

        :raises BlobNotFound: on the first step, there is none.
        """
        path = self._root
        try:
            path = (self._root / key.lstrip("/")).resolve()
            # Names of clients are part of the keys: none may lead out of the directory.
            found = path.is_relative_to(self._root) and path.is_file()
        except (OSError, ValueError):  # it is too long, or no path at all
            found = False
        if not found:
            raise BlobNotFound(key)
        with path.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield chunk


@asynccontextmanager
async def open_former_files(place: Path | S3Config) -> AsyncIterator[FormerFiles]:
    """Open a directory or a bucket.

    :raises StorageUnavailable: the bucket cannot be reached.
    """
    if isinstance(place, Path):
        yield FormerDirectory(place)
        return
    module: _OpenBucket = await asyncio.to_thread(import_module, _S3_MODULE)
    async with module.open_former_bucket(place) as files:
        yield files
