"""Reads objects of S3 from front to back, going on where a connection broke off."""

import asyncio
import hashlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import structlog

from actors.ports import StorageUnavailable
from ilios.blobs.s3.bucket import Bucket, Found
from ilios.blobs.s3.digests import Md5Check
from ilios.blobs.s3.errors import S3Refused
from schemas.documents import Blob

GOES_ON = 3  # times, without a byte having come in between
PAUSE = 0.2  # seconds before the first time, twice as much before each further one
CHANGED = "PreconditionFailed"
NO_SUCH_PART = ("InvalidRange", "416")

log = structlog.get_logger("s3")


class Reading:
    """One object being read. ``found`` is what is known of it, from the first byte on."""

    def __init__(self, bucket: Bucket, name: str) -> None:
        self._bucket = bucket
        self._name = name
        self.found: Found | None = None

    async def chunks(self, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """Stream the bytes from ``start`` to before ``stop``, all of one object.

        :raises BlobNotFound: on the first step, when there is none.
        """
        broken = 0
        while True:
            try:
                async with aclosing(self._come(start, stop)) as coming:
                    async for chunk in coming:
                        start, broken = start + len(chunk), 0
                        yield chunk
            except StorageUnavailable as error:
                broken += 1
                # Before the first byte the attempts of a call were all that is to be had.
                if self.found is None or broken > GOES_ON or _is(error, CHANGED):
                    raise
                log.info("reading goes on", name=self._name, at=start, error=str(error))
            else:
                return
            await asyncio.sleep(random.uniform(0.5, 1.0) * PAUSE * 2 ** (broken - 1))  # noqa: S311

    async def _come(self, start: int, stop: int | None) -> AsyncGenerator[bytes, None]:
        """Stream what comes over one connection."""
        known = self.found
        if (known is not None and start >= known.size) or (stop is not None and start >= stop):
            self.found = known or await self._bucket.head(self._name)
            return
        try:
            async with self._bucket.get(self._name, start, stop, known.etag if known else None) as (
                found,
                body,
            ):
                self.found, left = found, body.length
                while left > 0:
                    chunk = await body.read()
                    if not chunk:
                        raise StorageUnavailable("S3 ends before all has come")
                    left -= len(chunk)
                    yield chunk
        except S3Refused as refused:
            if refused.code not in NO_SUCH_PART:
                raise


async def read_all(bucket: Bucket, name: str, take: Callable[[bytes], Awaitable[None]]) -> bool:
    """Hand the whole object to ``take``; returns whether it came as S3 says that it lies there.

    :raises BlobNotFound: there is none.
    """
    reading = Reading(bucket, name)
    check = Md5Check(None)
    first = True
    async with aclosing(reading.chunks()) as chunks:
        async for chunk in chunks:
            if first and reading.found is not None and bucket.says_md5:
                check = Md5Check(reading.found.md5)
            first = False
            check.update(chunk)
            await take(chunk)
    return check.agrees


async def examine(bucket: Bucket, name: str, key: str) -> Blob:
    """Read the object and tell of it; what is damaged on its way is read once more.

    :raises BlobNotFound: there is none.
    :raises StorageUnavailable: it comes otherwise each time.
    """
    blob, agrees = await _examine(bucket, name, key)
    if agrees:
        return blob
    again, agrees = await _examine(bucket, name, key)
    # What comes twice the same lies there like that, whatever is said of it.
    if agrees or again == blob:
        return again
    raise StorageUnavailable(f"S3 sends other bytes each time of {name}")


async def _examine(bucket: Bucket, name: str, key: str) -> tuple[Blob, bool]:
    sha256, size = hashlib.sha256(), 0

    async def take(chunk: bytes) -> None:
        nonlocal size
        sha256.update(chunk)
        size += len(chunk)

    agrees = await read_all(bucket, name, take)
    return Blob(key=key, size=size, sha256=sha256.hexdigest()), agrees


def _is(error: StorageUnavailable, code: str) -> bool:
    return isinstance(error, S3Refused) and error.code == code
