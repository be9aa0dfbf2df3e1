"""Opens the store that is configured: a directory, or a bucket, whose SDK is loaded only then."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Protocol

import structlog
from msgspec import Struct

from actors.ports import Blobs
from ilios import secrets_file
from ilios.blobs import sampling
from ilios.blobs.layout import SHARDS
from ilios.blobs.local import LocalBlobs
from ilios.blobs.recent import RecentBlobs
from ilios.blobs.s3.place import S3Place

S3 = "ilios.blobs.s3.store"
S3_STARTUP = "ilios.blobs.s3.startup"
LOCAL = "blobs"
COPIES = "copies"
OWNER = "s3-owner.id"

log = structlog.get_logger("blobs")


class Owner(Struct, frozen=True):
    """Says which objects in a bucket are those of this data directory."""

    id: str


class _Opens(Protocol):
    def open(
        self, place: S3Place, borrowed: Path, owner: str, *, adopt: bool
    ) -> AbstractAsyncContextManager[Blobs]: ...


class _Asks(Protocol):
    async def reach(self, place: S3Place) -> None: ...


def directory(place: S3Place | None, data_dir: Path) -> Path:
    """Return where blobs, or copies of them, lie on this machine."""
    return data_dir / (LOCAL if place is None else COPIES)


@asynccontextmanager
async def open_blobs(
    place: S3Place | None, data_dir: Path, expected: Sequence[str] = ()
) -> AsyncIterator[Blobs]:
    """Open the bucket in ``place``, or without one the directory in ``data_dir``.

    ``expected`` are keys of some blobs that must be there. Where there are any, nothing is made of
    a directory or a bucket that has none of them.

    :raises StorageMisplaced: it has none of them: it is another one, or was emptied.
    :raises StorageUnavailable: the bucket cannot be worked with; the message says what to change.
    :raises SecretsDamaged: it cannot be read whose the objects in the bucket are.
    """
    if place is None:
        root = directory(None, data_dir)
        await asyncio.to_thread(sampling.look_in_directory, root, expected)
        async with LocalBlobs.open(root) as local:
            yield local
        return
    if await asyncio.to_thread(holds_blobs, data_dir / LOCAL):
        log.warning(
            "blobs of former runs are in the data directory, and are not looked for there: copy "
            "them into the bucket, or run without S3_BUCKET",
            directory=str(data_dir / LOCAL),
        )
    store = await asyncio.to_thread(_load)
    owner = secrets_file.load_or_create(data_dir / OWNER, Owner, _new_owner)
    copies = directory(place, data_dir)
    async with (
        store.open(place, copies, owner.id, adopt=not expected) as bucket,
        RecentBlobs.open(bucket, copies) as recent,
    ):
        await sampling.look(recent, expected)
        yield recent


async def try_bucket(place: S3Place) -> None:
    """Ask the bucket for the name of one object; nothing is written there.

    :raises StorageUnavailable: it cannot be reached, or must not be read.
    """
    startup: _Asks = await asyncio.to_thread(import_module, S3_STARTUP)
    await startup.reach(place)


def _load() -> _Opens:
    store: _Opens = import_module(S3).S3Blobs
    return store


def _new_owner() -> Owner:
    return Owner(secrets.token_hex(16))


def holds_blobs(root: Path) -> bool:
    """Whether any blob lies in a directory."""
    return any(any((root / shard).glob("*")) for shard in SHARDS)
