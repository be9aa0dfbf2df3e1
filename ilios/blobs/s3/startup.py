"""Checks at startup: every operation works on the bucket, and it belongs to this service."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from io import BytesIO

import msgspec
import structlog

from actors.ports import (
    BlobNotFound,
    StorageForeign,
    StorageMisconfigured,
    StorageMismatch,
    StorageUnavailable,
)
from ilios.blobs.s3 import AUTO, S3Config
from ilios.blobs.s3.bucket import Bucket, md5
from ilios.blobs.s3.client import S3ErrorResponse, open_client

OWNER_OBJECT = ".ilios"
"""Object with the id of the owner of all blobs beside it; no blob key begins like that."""
PROBE_PREFIX = ".ilios-probe-"
PROBE_BYTES = 64  # bytes
DEFAULT_REGION = "us-east-1"  # where AWS names the region of any bucket

log = structlog.get_logger("s3")


class OwnerRecord(msgspec.Struct, frozen=True):
    """The owner of the blobs in a bucket."""

    id: str


@asynccontextmanager
async def open_verified(
    config: S3Config, owner: str, *, adopt: bool = True, probe_id: str | None = None
) -> AsyncIterator[Bucket]:
    """Open the bucket, after trying every operation that the store needs.

    Without ``adopt`` the bucket must have its owner already. ``probe_id`` names the probe, if not
    the owner does: two hosts that start at once must not abort the probes of each other.

    :raises StorageMismatch: it must, and has none.
    :raises StorageUnavailable: an operation fails; the message names the setting to change.
    """
    async with AsyncExitStack() as stack:
        bucket = await _open_in_its_region(config, stack)
        # A fixed name for each host, so that the next start replaces the probe of a killed one.
        probe = f"{config.prefix}{PROBE_PREFIX}{probe_id or owner}"
        await _probe_objects(bucket, config, probe)
        await _probe_multipart(bucket, probe)
        if adopt:
            await _claim(bucket, config, owner)
        await verify_owner(bucket, config, owner, StorageForeign)
        yield bucket


@asynccontextmanager
async def open_unverified(config: S3Config) -> AsyncIterator[Bucket]:
    """Open a bucket of another service, to read it; nothing is written.

    :raises StorageUnavailable: it does not answer, or refuses.
    """
    async with AsyncExitStack() as stack:
        yield await _open_in_its_region(config, stack)


async def check_reachable(config: S3Config) -> None:
    """Look up the region of the bucket, and list one object.

    :raises StorageUnavailable: it does not answer, or refuses.
    """
    async with AsyncExitStack() as stack:
        await _open_in_its_region(config, stack)


async def _open_in_its_region(config: S3Config, stack: AsyncExitStack) -> Bucket:
    """Open the bucket in the region that S3 names, unless one is configured."""
    region = config.region
    if region == AUTO and config.endpoint is None:
        region = DEFAULT_REGION
    bucket = Bucket(await stack.enter_async_context(open_client(config, region)))
    try:
        actual = await bucket.find_region()
    except S3ErrorResponse as refused:
        if refused.region is None or config.region != AUTO:
            raise
        actual = refused.region
    if actual == region:
        return bucket
    if config.region != AUTO:
        # Our calls are redirected; presigned URLs would not be.
        raise StorageMisconfigured(f"bucket {config.bucket} is in {actual}: set AWS_REGION to that")
    log.info("region found", bucket=config.bucket, region=actual)
    bucket = Bucket(await stack.enter_async_context(open_client(config, actual)))
    await bucket.find_region()
    return bucket


async def _probe_objects(bucket: Bucket, config: S3Config, name: str) -> None:
    data = secrets.token_bytes(PROBE_BYTES)
    digest = md5(data)
    try:
        md5_returned = await bucket.put(name, BytesIO(data), digest.digest())
        bucket.etag_is_md5 = md5_returned == digest.hexdigest()
        async with bucket.get(name, 1, PROBE_BYTES) as (_, body):
            received = b""
            while chunk := await body.read():
                received += chunk
    except BlobNotFound as error:
        raise StorageUnavailable(
            f"{config.location} does not return an object that was just put"
        ) from error
    if received != data[1:]:
        raise StorageMisconfigured(f"{config.location} returns other bytes than were put")
    await bucket.delete(name)


async def _probe_multipart(bucket: Bucket, name: str) -> None:
    upload = await bucket.create_multipart(name)
    async for one in bucket.multipart_uploads(name):
        await bucket.abort_multipart(one.name, one.id)
    await bucket.abort_multipart(name, upload)  # not every store lists its multipart uploads


async def _claim(bucket: Bucket, config: S3Config, owner: str) -> None:
    """Write the owner object, unless there is one.

    Two services on the same blobs would delete those of each other as orphans.
    """
    name = f"{config.prefix}{OWNER_OBJECT}"
    try:
        await _read_owner(bucket, name)
    except BlobNotFound:
        text = msgspec.json.encode(OwnerRecord(owner))
        await bucket.put(name, BytesIO(text), md5(text).digest())


async def verify_owner(
    bucket: Bucket,
    config: S3Config,
    owner: str,
    mismatch_error: type[StorageUnavailable] = StorageMismatch,
) -> None:
    """Check that the blobs in the bucket belong to ``owner``.

    :raises StorageMismatch: they have no owner: it is another bucket, or was emptied.
    :raises StorageUnavailable: it does not answer; ``mismatch_error`` if the owner is another one.
    """
    name = f"{config.prefix}{OWNER_OBJECT}"
    where = f"bucket {config.bucket} at {config.location}"
    try:
        found = await _read_owner(bucket, name)
    except BlobNotFound as error:
        raise StorageMismatch(
            f"the object {name}, which names the owner of the blobs, is not in {where}: is it "
            "the right bucket (S3_BUCKET, AWS_ENDPOINT_URL_S3, ILIOS_S3_PREFIX), was it emptied? "
            f"If only {name} is gone, put the file s3-owner.id of the data directory there under "
            "this name"
        ) from error
    if found != owner:
        raise mismatch_error(
            f"the blobs in bucket {config.bucket} belong to another ilios: set ILIOS_S3_PREFIX. "
            "Is the volume of the data directory mounted, is ILIOS_DATA_DIR right? If that other "
            f"one is gone for good, delete the object {name}"
        )


async def _read_owner(bucket: Bucket, name: str) -> str | None:
    async with bucket.get(name) as (_, body):
        text = b""
        while chunk := await body.read():
            text += chunk
    try:
        return msgspec.json.decode(text, type=OwnerRecord).id
    except msgspec.DecodeError:
        return None
