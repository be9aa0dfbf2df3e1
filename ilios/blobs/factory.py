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
from ilios.blobs.caching import CachingBlobs
from ilios.blobs.layout import SHARDS
from ilios.blobs.local import LocalBlobs
from ilios.blobs.s3.config import S3Config

S3_MODULE = "ilios.blobs.s3.store"
S3_STARTUP_MODULE = "ilios.blobs.s3.startup"
LOCAL_DIR = "blobs"
COPIES_DIR = "copies"
OWNER_FILE = "s3-owner.id"

log = structlog.get_logger("blobs")


class OwnerId(Struct, frozen=True):
    """Says which objects in a bucket are those of this data directory."""

    id: str


class _StoreFactory(Protocol):
    def open(
        self, config: S3Config, copies_dir: Path, owner: str, *, adopt: bool
    ) -> AbstractAsyncContextManager[Blobs]: ...


class _BucketProber(Protocol):
    async def check_reachable(self, config: S3Config) -> None: ...


def blob_directory(s3: S3Config | None, data_dir: Path) -> Path:
    """Return where blobs, or copies of them, lie on this machine."""
    return data_dir / (LOCAL_DIR if s3 is None else COPIES_DIR)


@asynccontextmanager
async def open_blobs(
    s3: S3Config | None, data_dir: Path, expected_keys: Sequence[str] = ()
) -> AsyncIterator[Blobs]:
    """Open the bucket in ``place``, or without one the directory in ``data_dir``.

    ``expected`` are keys of some blobs that must be there. Where there are any, nothing is made of
    a directory or a bucket that has none of them.

    :raises StorageMisplaced: it has none of them: it is another one, or was emptied.
    :raises StorageUnavailable: the bucket cannot be worked with; the message says what to change.
    :raises SecretsDamaged: it cannot be read whose the objects in the bucket are.
    """
    if s3 is None:
        root = blob_directory(None, data_dir)
        await asyncio.to_thread(sampling.ensure_any_in_directory, root, expected_keys)
        async with LocalBlobs.open(root) as local:
            yield local
        return
    if await asyncio.to_thread(has_blobs, data_dir / LOCAL_DIR):
        log.warning(
            "blobs of former runs are in the data directory, and are not looked for there: copy "
            "them into the bucket, or run without S3_BUCKET",
            directory=str(data_dir / LOCAL_DIR),
        )
    store = await asyncio.to_thread(_load_s3_store)
    owner = secrets_file.load_or_create(data_dir / OWNER_FILE, OwnerId, _new_owner)
    copies = blob_directory(s3, data_dir)
    async with (
        store.open(s3, copies, owner.id, adopt=not expected_keys) as bucket,
        CachingBlobs.open(bucket, copies) as recent,
    ):
        await sampling.ensure_any_present(recent, expected_keys)
        yield recent


async def probe_bucket(config: S3Config) -> None:
    """Ask the bucket for the name of one object; nothing is written there.

    :raises StorageUnavailable: it cannot be reached, or must not be read.
    """
    startup: _BucketProber = await asyncio.to_thread(import_module, S3_STARTUP_MODULE)
    await startup.check_reachable(config)


def _load_s3_store() -> _StoreFactory:
    store: _StoreFactory = import_module(S3_MODULE).S3Blobs
    return store


def _new_owner() -> OwnerId:
    return OwnerId(secrets.token_hex(16))


def has_blobs(root: Path) -> bool:
    """Whether any blob lies in a directory."""
    return any(any((root / shard).glob("*")) for shard in SHARDS)
