"""Reading objects of S3 from front to back, across broken connections."""

import asyncio
import hashlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import structlog

from actors.backoff import Backoff
from actors.ports import StorageUnavailable
from ilios.blobs.s3.bucket import Bucket, Md5Check, ObjectInfo
from ilios.blobs.s3.client import S3ErrorResponse
from schemas.documents import Blob

MAX_RESUMES = 3  # times in a row without a byte
BACKOFF = Backoff(first=0.2, longest=2.0)
PRECONDITION_FAILED = "PreconditionFailed"
RANGE_NOT_SATISFIABLE = ("InvalidRange", "416")

log = structlog.get_logger("s3")


class ObjectReader:
    """One object being read. ``info`` is set from the first byte on."""

    def __init__(self, bucket: Bucket, name: str) -> None:
        self._bucket = bucket
        self._name = name
        self.info: ObjectInfo | None = None

    async def chunks(self, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """Stream the bytes from ``start`` to before ``stop``, all of the same object.

        :raises BlobNotFound: on the first step, if it does not exist.
        """
        failures = 0
        while True:
            try:
                async with aclosing(self._stream_once(start, stop)) as stream:
                    async for chunk in stream:
                        start, failures = start + len(chunk), 0
                        yield chunk
            except StorageUnavailable as error:
                failures += 1
                # Before the first byte the call itself has made its attempts.
                if (
                    self.info is None
                    or failures > MAX_RESUMES
                    or _has_code(error, PRECONDITION_FAILED)
                ):
                    raise
                log.info("read resumed", name=self._name, at=start, error=str(error))
            else:
                return
            await asyncio.sleep(random.uniform(0.5, 1.0) * BACKOFF.pause(failures - 1))  # noqa: S311

    async def _stream_once(self, start: int, stop: int | None) -> AsyncGenerator[bytes, None]:
        """Stream the bytes of one connection."""
        info = self.info
        if (info is not None and start >= info.size) or (stop is not None and start >= stop):
            self.info = info or await self._bucket.head(self._name)
            return
        try:
            async with self._bucket.get(self._name, start, stop, info.etag if info else None) as (
                received,
                body,
            ):
                self.info, left = received, body.length
                while left > 0:
                    chunk = await body.read()
                    if not chunk:
                        raise StorageUnavailable("S3 ended the body too early")
                    left -= len(chunk)
                    yield chunk
        except S3ErrorResponse as refused:
            if refused.code not in RANGE_NOT_SATISFIABLE:
                raise


async def download(
    bucket: Bucket,
    name: str,
    write: Callable[[bytes], Awaitable[None]],
    begin: Callable[[int], None] = lambda _: None,
) -> bool:
    """Pass the whole object to ``write``; returns whether its MD5 matches.

    Before the first byte its size is passed to ``begin``.

    :raises BlobNotFound: it does not exist.
    """
    reader = ObjectReader(bucket, name)
    check = Md5Check(None)
    first = True
    async with aclosing(reader.chunks()) as chunks:
        async for chunk in chunks:
            if first and reader.info is not None:
                begin(reader.info.size)
                check = Md5Check(reader.info.md5 if bucket.etag_is_md5 else None)
            first = False
            check.update(chunk)
            await write(chunk)
    return check.matches


async def digest_object(bucket: Bucket, name: str, key: str) -> Blob:
    """Return size and SHA-256 of an object; one that is damaged in transfer is read again.

    :raises BlobNotFound: it does not exist.
    :raises StorageUnavailable: its bytes differ each time.
    """
    blob, matches = await _digest_once(bucket, name, key)
    if matches:
        return blob
    again, matches = await _digest_once(bucket, name, key)
    # The same bytes twice are the stored ones, whatever the ETag is.
    if matches or again == blob:
        return again
    raise StorageUnavailable(f"S3 sends different bytes of {name} each time")


async def _digest_once(bucket: Bucket, name: str, key: str) -> tuple[Blob, bool]:
    sha256, size = hashlib.sha256(), 0

    async def write(chunk: bytes) -> None:
        nonlocal size
        sha256.update(chunk)
        size += len(chunk)

    matches = await download(bucket, name, write)
    return Blob(key=key, size=size, sha256=sha256.hexdigest()), matches


def _has_code(error: StorageUnavailable, code: str) -> bool:
    return isinstance(error, S3ErrorResponse) and error.code == code
