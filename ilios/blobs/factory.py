"""Opening the configured blob store, and checking that it belongs to this database.

The S3 SDK is imported only if a bucket is configured. A single blob may be missing for its own
reasons; a store that lacks all of several is another one, or was emptied.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Protocol

import structlog
from msgspec import Struct

from actors.ports import BlobNotFound, Blobs, StorageMismatch
from ilios.blobs.caching import CachingBlobs
from ilios.blobs.layout import SHARDS, blob_path
from ilios.blobs.local import LocalBlobs
from ilios.blobs.move_record import read_record
from ilios.blobs.s3 import S3Config, SharingHost
from ilios.secret import load_or_create_secrets

S3_MODULE = "ilios.blobs.s3.store"
S3_STARTUP_MODULE = "ilios.blobs.s3.startup"
LOCAL_DIR = "blobs"
COPIES_DIR = "copies"
OWNER_FILE = "s3-owner.id"
WORKER_FILE = "worker.id"

log = structlog.get_logger("blobs")


class OwnerId(Struct, frozen=True):
    """The random id by which a bucket is bound to this data directory."""

    id: str


class _StoreFactory(Protocol):
    def open(
        self,
        config: S3Config,
        copies_dir: Path,
        owner: str,
        *,
        adopt: bool,
        host: SharingHost | None,
    ) -> AbstractAsyncContextManager[Blobs]: ...


class _BucketProber(Protocol):
    async def check_reachable(self, config: S3Config) -> None: ...


def blob_directory(s3: S3Config | None, data_dir: Path, shared: Path | None = None) -> Path:
    """Return the directory of blobs (``shared`` by several hosts, or not), or of local copies."""
    if s3 is None:
        return shared or data_dir / LOCAL_DIR
    return data_dir / COPIES_DIR


def warn_of_unmoved_blobs(s3: S3Config | None, data_dir: Path) -> None:
    """Log a warning if a bucket is configured, and the data directory has blobs of its own."""
    if s3 is not None and read_record(data_dir) is None and has_blobs(data_dir / LOCAL_DIR):
        log.warning(
            "blobs in the data directory are not used: stop, and move them with `ilios blobs move "
            "--to s3`, or run without S3_BUCKET",
            directory=str(data_dir / LOCAL_DIR),
        )


@asynccontextmanager
async def open_blobs(
    s3: S3Config | None,
    data_dir: Path,
    expected_keys: Sequence[str] = (),
    *,
    shared: Path | None = None,
    host: SharingHost | None = None,
) -> AsyncIterator[Blobs]:
    """Open the bucket, or without one the directory ``shared`` or that in ``data_dir``.

    ``host`` is this one, if others may store blobs in the bucket too.

    ``expected_keys`` are those of a sample of blobs. If there are any, a directory or bucket that
    has none of them is neither created nor adopted.

    :raises StorageMismatch: the store has none of them: it is another one, or was emptied.
    :raises StorageUnavailable: the bucket is unusable; the message names the setting to change.
    :raises SecretsDamaged: the owner id of the bucket cannot be read.
    """
    if s3 is None:
        root = blob_directory(None, data_dir, shared)
        await asyncio.to_thread(ensure_any_in_directory, root, expected_keys)
        async with LocalBlobs.open(root) as local:
            yield local
        return
    store = await asyncio.to_thread(_load_s3_store)
    owner = load_owner(data_dir)
    copies = blob_directory(s3, data_dir)
    async with (
        store.open(s3, copies, owner, adopt=not expected_keys, host=host) as bucket,
        CachingBlobs.open(bucket, copies) as recent,
    ):
        await ensure_any_present(recent, expected_keys)
        yield recent


@asynccontextmanager
async def open_bucket_of(owner: str, s3: S3Config, data_dir: Path) -> AsyncIterator[Blobs]:
    """Open the bucket of another host, whose blobs have this owner; copies are in ``data_dir``.

    :raises StorageForeign: the blobs there have another owner.
    :raises StorageMismatch: they have none: it is another bucket or prefix.
    :raises StorageUnavailable: the bucket is unusable; the message names the setting to change.
    """
    store = await asyncio.to_thread(_load_s3_store)
    this = load_or_create_secrets(data_dir / WORKER_FILE, OwnerId, _new_owner)
    host, copies = SharingHost(sweeps=False, probe_id=this.id), blob_directory(s3, data_dir)
    async with (
        store.open(s3, copies, owner, adopt=False, host=host) as bucket,
        CachingBlobs.open(bucket, copies) as recent,
    ):
        yield recent


@asynccontextmanager
async def open_bucket_to_fill(
    s3: S3Config, data_dir: Path, host: SharingHost | None, *, adopt: bool
) -> AsyncIterator[Blobs]:
    """Open a bucket that gets, or has got, all blobs of a data directory.

    What is read from it was sent by the bucket, as nothing is cached. Without ``adopt`` it must
    have its owner already.

    :raises StorageForeign: the blobs there have another owner.
    :raises StorageMismatch: they have none: it is another bucket, or was emptied.
    :raises StorageUnavailable: the bucket is unusable; the message names the setting to change.
    """
    store = await asyncio.to_thread(_load_s3_store)
    copies = blob_directory(s3, data_dir)
    async with store.open(s3, copies, load_owner(data_dir), adopt=adopt, host=host) as bucket:
        yield bucket


def load_owner(data_dir: Path) -> str:
    """Return the id of the owner of the blobs, created where it is missing.

    :raises SecretsDamaged: it cannot be read.
    """
    return load_or_create_secrets(data_dir / OWNER_FILE, OwnerId, _new_owner).id


async def probe_bucket(config: S3Config) -> None:
    """List one object of the bucket; writes nothing.

    :raises StorageUnavailable: the bucket cannot be reached or read.
    """
    startup: _BucketProber = await asyncio.to_thread(import_module, S3_STARTUP_MODULE)
    await startup.check_reachable(config)


def _load_s3_store() -> _StoreFactory:
    store: _StoreFactory = import_module(S3_MODULE).S3Blobs
    return store


def _new_owner() -> OwnerId:
    return OwnerId(secrets.token_hex(16))


def has_blobs(root: Path) -> bool:
    """Whether a directory contains any blob."""
    return any(any((root / shard).glob("*")) for shard in SHARDS)


MIN_SAMPLE = 2
"""Blobs that must be missing together to prove that the store is the wrong one."""


async def ensure_any_present(blobs: Blobs, keys: Sequence[str]) -> None:
    """Check that the store has at least one of these blobs; too few prove nothing.

    :raises StorageMismatch: it has none of them.
    :raises StorageUnavailable: it does not answer.
    """
    if len(keys) < MIN_SAMPLE:
        return
    for key in keys:
        try:
            await blobs.size(key)
        except BlobNotFound:
            continue
        return
    raise StorageMismatch(_none_found(len(keys), "the blob store"))


def ensure_any_in_directory(root: Path, keys: Sequence[str]) -> None:
    """Check a directory before it is opened; blocks.

    :raises StorageMismatch: it has none of the blobs; it was not touched.
    """
    if not keys or any(Path(blob_path(str(root), key)).exists() for key in keys):
        return
    # In a directory that was never opened, one missing blob proves as much as several.
    if len(keys) >= MIN_SAMPLE or not root.is_dir() or not any(root.iterdir()):
        raise StorageMismatch(_none_found(len(keys), str(root)))


def _none_found(number: int, where: str) -> str:
    return (
        f"none of {number} blobs of the database is in {where}: is its volume mounted, is it the "
        "right place (ILIOS_DATA_DIR, S3_BUCKET), was it emptied?"
    )
