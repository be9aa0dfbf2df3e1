"""Proves, before anything is accepted, that a bucket can be worked with and is nobody else's."""

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
    StorageMisplaced,
    StorageUnavailable,
)
from ilios.blobs.s3.bucket import Bucket
from ilios.blobs.s3.client import open_client
from ilios.blobs.s3.digests import md5
from ilios.blobs.s3.errors import S3Refused
from ilios.blobs.s3.place import AUTO, S3Place

OWNER = ".ilios"
"""Names the object that says whose the blobs beside it are. It begins as no blob does."""
PROBE = ".ilios-probe-"
PROBED = 64  # bytes
FIRST_REGION = "us-east-1"  # asked there, AWS says which one it is

log = structlog.get_logger("s3")


class Owner(msgspec.Struct, frozen=True):
    """Whose blobs lie there."""

    id: str


@asynccontextmanager
async def proven(place: S3Place, owner: str, *, adopt: bool = True) -> AsyncIterator[Bucket]:
    """Lend the bucket once everything that is done to it was tried.

    Without ``adopt`` it must be the owner's already.

    :raises StorageMisplaced: it must be, and it has no owner.
    :raises StorageUnavailable: something cannot be done; the message says what has to be changed.
    """
    async with AsyncExitStack() as stack:
        bucket = await _open_in_its_region(place, stack)
        # One of our own, so that what a killed start has left is replaced by the next.
        probe = f"{place.prefix}{PROBE}{owner}"
        await _try_objects(bucket, place, probe)
        await _try_multipart(bucket, probe)
        if adopt:
            await _claim(bucket, place, owner)
        await confirm(bucket, place, owner, StorageForeign)
        yield bucket


async def reach(place: S3Place) -> None:
    """Ask the bucket where it is, and for the name of one object.

    :raises StorageUnavailable: it does not answer, or not to us.
    """
    async with AsyncExitStack() as stack:
        await _open_in_its_region(place, stack)


async def _open_in_its_region(place: S3Place, stack: AsyncExitStack) -> Bucket:
    """Open the bucket where it says that it is, if it was left to us to find out."""
    region = place.region
    if region == AUTO and place.endpoint is None:
        region = FIRST_REGION
    bucket = Bucket(await stack.enter_async_context(open_client(place, region)))
    try:
        said = await bucket.find_region()
    except S3Refused as refused:
        if refused.region is None or place.region != AUTO:
            raise
        said = refused.region
    if said == region:
        return bucket
    if place.region != AUTO:
        # What is asked is redirected; URLs that are given to others would not be.
        raise StorageMisconfigured(f"bucket {place.bucket} is in {said}: set AWS_REGION to that")
    log.info("region found", bucket=place.bucket, region=said)
    bucket = Bucket(await stack.enter_async_context(open_client(place, said)))
    await bucket.find_region()
    return bucket


async def _try_objects(bucket: Bucket, place: S3Place, name: str) -> None:
    data = secrets.token_bytes(PROBED)
    digest = md5(data)
    try:
        said = await bucket.put(name, BytesIO(data), digest.digest())
        bucket.says_md5 = said == digest.hexdigest()
        async with bucket.get(name, 1, PROBED) as (_, body):
            came = b""
            while chunk := await body.read():
                came += chunk
    except BlobNotFound as error:
        raise StorageUnavailable(f"{place.where} does not give back what was just put") from error
    if came != data[1:]:
        raise StorageMisconfigured(f"{place.where} gives back other bytes than were put")
    await bucket.delete(name)


async def _try_multipart(bucket: Bucket, name: str) -> None:
    upload = await bucket.begin(name)
    async for one in bucket.begun(name):
        await bucket.abort(one.name, one.id)
    await bucket.abort(name, upload)  # not every store lists what it has begun


async def _claim(bucket: Bucket, place: S3Place, owner: str) -> None:
    """Write down whose the blobs are, unless it is written down already.

    Two services on the same blobs would each take those of the other for orphans, and delete them.
    """
    name = f"{place.prefix}{OWNER}"
    try:
        await _owner(bucket, name)
    except BlobNotFound:
        text = msgspec.json.encode(Owner(owner))
        await bucket.put(name, BytesIO(text), md5(text).digest())


async def confirm(
    bucket: Bucket,
    place: S3Place,
    owner: str,
    foreign: type[StorageUnavailable] = StorageMisplaced,
) -> None:
    """Return if the blobs in the bucket are those of ``owner``.

    :raises StorageMisplaced: they have no owner: it is another bucket, or was emptied.
    :raises StorageUnavailable: it cannot be asked; a ``foreign`` one if they are somebody else's.
    """
    name = f"{place.prefix}{OWNER}"
    where = f"bucket {place.bucket} at {place.where}"
    try:
        found = await _owner(bucket, name)
    except BlobNotFound as error:
        raise StorageMisplaced(
            f"the object {name}, which names the owner of the blobs, is not in {where}: is it "
            "the right bucket (S3_BUCKET, AWS_ENDPOINT_URL_S3, ILIOS_S3_PREFIX), was it emptied? "
            f"If only {name} is gone, put the file s3-owner.id of the data directory there under "
            "this name"
        ) from error
    if found != owner:
        raise foreign(
            f"the blobs in bucket {place.bucket} are those of another ilios: set ILIOS_S3_PREFIX. "
            "Is the volume of the data directory mounted, is ILIOS_DATA_DIR right? If that other "
            f"one is gone for good, delete the object {name}"
        )


async def _owner(bucket: Bucket, name: str) -> str | None:
    async with bucket.get(name) as (_, body):
        text = b""
        while chunk := await body.read():
            text += chunk
    try:
        return msgspec.json.decode(text, type=Owner).id
    except msgspec.DecodeError:
        return None
