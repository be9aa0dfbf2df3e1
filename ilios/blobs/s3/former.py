"""Objects of another service in a bucket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actors.ports import BlobNotFound
from ilios.blobs.s3 import S3Config
from ilios.blobs.s3.bucket import Bucket
from ilios.blobs.s3.object_reader import ObjectReader
from ilios.blobs.s3.startup import open_unverified


class FormerBucket:
    """Objects by their names, as ``ilios.blobs.former.FormerFiles``."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def read(self, key: str) -> AsyncIterator[bytes]:
        """Stream an object, across broken connections.

        :raises BlobNotFound: on the first step, there is none.
        """
        if not key:
            raise BlobNotFound(key)
        async for chunk in ObjectReader(self._bucket, key).chunks():
            yield chunk


@asynccontextmanager
async def open_former_bucket(config: S3Config) -> AsyncIterator[FormerBucket]:
    """Open a bucket; nothing is written to it.

    :raises StorageUnavailable: it cannot be reached or read.
    """
    async with open_unverified(config) as bucket:
        yield FormerBucket(bucket)
