"""Upload of one blob to S3: in one request if it is small, else in parts while it is received.

Of each blob one part is being filled and at most two are in transfer, and the transfers of all
blobs are limited: memory does not depend on their sizes. The MD5 of everything sent is compared
with what S3 reports.
"""

import asyncio
import hashlib
from io import BytesIO
from typing import Any

import structlog

from actors.ports import BlobNotFound, StorageUnavailable
from ilios.blobs.s3.bucket import PART_BYTES, Bucket, md5, multipart_md5
from schemas.documents import Blob

MAX_BLOB_PARTS_IN_FLIGHT = 2
"""Parts of one blob. More were not faster when measured."""

SETTLE_TIMEOUT = 10.0  # seconds for a running step when its upload is abandoned

log = structlog.get_logger("s3")


class ChecksumMismatch(StorageUnavailable):
    """S3 received other bytes than were sent; they were deleted."""


class Part:
    """Bytes in memory, until S3 has stored them."""

    def __init__(self, data: bytes = b"") -> None:
        self.body = BytesIO(data)  # shares ``data`` until something is appended
        self.size = self.body.seek(len(data))
        self.md5 = md5(data)

    def append(self, data: memoryview) -> None:
        """Append bytes."""
        self.body.write(data)
        self.md5.update(data)
        self.size += len(data)


class Upload:
    """One object being put: ``write`` its bytes, then ``finish`` or ``abandon``.

    Up to ``single_put_max_bytes`` are put in one request. ``part_slots`` limits the parts in
    transfer of all uploads. ``id`` is that of the multipart upload, if there is one.
    """

    def __init__(
        self, bucket: Bucket, name: str, part_slots: asyncio.Semaphore, *, single_put_max_bytes: int
    ) -> None:
        self._bucket = bucket
        self._name = name
        self._part_slots = part_slots
        self._single_put_max_bytes = single_put_max_bytes
        self.id: str | None = None
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._part = Part()
        self._number = 0
        self._creating: asyncio.Task[str] | None = None
        self._in_flight: set[asyncio.Task[None]] = set()
        self._etags: dict[int, str] = {}
        self._md5s: dict[int, bytes] = {}
        self._finishing: asyncio.Task[str | None] | None = None
        self._expected_md5 = ""

    async def write(self, data: bytes) -> None:
        """Add the next bytes; waits while enough parts are in transfer.

        :raises StorageUnavailable: a part failed.
        """
        self._sha256.update(data)
        self._size += len(data)
        rest = memoryview(data)
        while rest:
            room = PART_BYTES - self._part.size
            self._part.append(rest[:room])
            rest = rest[room:]
            if self._part.size == PART_BYTES:
                await self._send_part_in_background()
        self._raise_failed_parts()

    async def write_all(self, data: bytes) -> None:
        """Add all bytes at once, without copying those of a single request."""
        if len(data) > self._single_put_max_bytes:
            await self.write(data)
            return
        self._sha256.update(data)
        self._size, self._part = len(data), Part(data)

    async def finish(self, key: str) -> Blob:
        """Wait until S3 has stored the object, and compare its MD5.

        :raises StorageUnavailable: it failed, or the MD5 differs.
        """
        if self._creating is None and self._size <= self._single_put_max_bytes:
            self._expected_md5 = self._part.md5.hexdigest()
            putting = self._bucket.put(self._name, self._part.body, self._part.md5.digest())
            self._finishing = asyncio.create_task(putting)
        else:
            if self._part.size:
                await self._send_part_in_background()
            await self._wait_for_in_flight(0)
            self._expected_md5 = multipart_md5(self._md5s[number] for number in sorted(self._md5s))
            upload = await self._upload_id()
            completing = self._bucket.complete_multipart(
                self._name, upload, self._etags, self._size
            )
            self._finishing = asyncio.create_task(completing)
        # Shielded, so that ``abandon`` finds out what to delete after a cancellation.
        await self._verify(await asyncio.shield(self._finishing))
        return Blob(key=key, size=self._size, sha256=self._sha256.hexdigest())

    async def abandon(self) -> None:
        """Delete what was stored; what cannot be deleted now is left to the sweep."""
        await _settle(self._finishing)
        for sending in self._in_flight:
            sending.cancel()
        await asyncio.gather(*self._in_flight, return_exceptions=True)
        try:
            if await _settle(self._creating):
                await self._bucket.abort_multipart(self._name, await self._upload_id())
            if self._finishing is not None:
                await self._delete_stored(stored=await _settle(self._finishing))
        except StorageUnavailable as error:
            log.warning("abandoned upload not deleted", name=self._name, error=str(error))

    async def _send_part_in_background(self) -> None:
        """Start the transfer of the filled part."""
        upload = await self._upload_id()
        await self._wait_for_in_flight(MAX_BLOB_PARTS_IN_FLIGHT - 1)
        # Before the next part is filled: waiting parts take memory as well.
        await self._part_slots.acquire()
        self._number += 1
        sending = asyncio.create_task(self._send_part(upload, self._number, self._part))
        sending.add_done_callback(lambda _: self._part_slots.release())
        self._in_flight.add(sending)
        self._part = Part()

    async def _upload_id(self) -> str:
        if self._creating is None:
            self._creating = asyncio.create_task(self._create_multipart())
        return await asyncio.shield(self._creating)

    async def _create_multipart(self) -> str:
        self.id = await self._bucket.create_multipart(self._name)
        return self.id

    async def _send_part(self, upload: str, number: int, part: Part) -> None:
        digest = part.md5.digest()
        etag, stored = await self._bucket.put_part(self._name, upload, number, part.body, digest)
        if stored is not None and self._bucket.etag_is_md5 and stored != digest.hex():
            raise _mismatch()
        self._etags[number], self._md5s[number] = etag, digest

    async def _wait_for_in_flight(self, limit: int) -> None:
        """Wait until at most ``limit`` parts are in transfer."""
        self._raise_failed_parts()
        while len(self._in_flight) > limit:
            await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
            self._raise_failed_parts()

    def _raise_failed_parts(self) -> None:
        """Drop finished parts; raises the error of a failed one."""
        for sending in [one for one in self._in_flight if one.done()]:
            self._in_flight.discard(sending)
            sending.result()

    async def _verify(self, md5_returned: str | None) -> None:
        """Compare the MD5 of S3 with that of the bytes sent, or else their number.

        :raises ChecksumMismatch: they differ.
        """
        if md5_returned == self._expected_md5:
            return
        if self._creating is None and md5_returned is not None and self._bucket.etag_is_md5:
            raise _mismatch()
        # Some stores report another MD5 for parts; each part was checked by itself.
        if (await self._bucket.head(self._name)).size != self._size:
            raise _mismatch()

    async def _delete_stored(self, *, stored: bool) -> None:
        """Delete the object, unless it may be an earlier one of the same name."""
        if not stored:
            try:
                found = await self._bucket.head(self._name)
            except BlobNotFound:
                return
            md5 = self._creating is None and self._bucket.etag_is_md5 and found.md5
            if md5 != self._expected_md5 if md5 else found.size != self._size:
                return
        await self._bucket.delete(self._name)


async def _settle(step: asyncio.Task[Any] | None) -> bool:
    """Wait for a running step, then cancel it; returns whether it succeeded."""
    if step is None:
        return False
    await asyncio.wait({step}, timeout=SETTLE_TIMEOUT)
    if not step.done():
        step.cancel()
        await asyncio.wait({step})
    return not step.cancelled() and step.exception() is None


def _mismatch() -> ChecksumMismatch:
    return ChecksumMismatch("S3 received other bytes than were sent; they were deleted")
