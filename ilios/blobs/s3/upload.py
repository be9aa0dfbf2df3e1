"""A blob on its way into S3: alone when it is small, else in parts while it still comes in.

Of each blob one part is being filled and at most two are on the way, of all blobs together a few
more: what is held in memory does not depend on their sizes. Every byte is held against what S3 says
it has got.
"""

import asyncio
import hashlib
from io import BytesIO
from typing import Any

import structlog

from actors.ports import BlobNotFound, StorageUnavailable
from ilios.blobs.s3.bucket import Bucket
from ilios.blobs.s3.digests import PART_BYTES, md5, of_parts
from schemas.documents import Blob

ON_THE_WAY = 2
"""Parts of one blob. More of them are no faster, where one was measured against the other."""

LET_END_WITHIN = 10.0  # seconds for a step that is under way when its blob is given up

log = structlog.get_logger("s3")


class NotWhatWasSent(StorageUnavailable):
    """What S3 has got is not what it was sent; it was taken away again."""


class Part:
    """Bytes in memory, until S3 has got them."""

    def __init__(self, data: bytes = b"") -> None:
        self.body = BytesIO(data)  # shares ``data``, as long as nothing is added to it
        self.size = self.body.seek(len(data))
        self.md5 = md5(data)

    def fill(self, data: memoryview) -> None:
        """Add to it."""
        self.body.write(data)
        self.md5.update(data)
        self.size += len(data)


class Upload:
    """One blob that is put under ``name``: ``take`` its bytes, then ``finish``, or ``give_up``.

    It is put alone up to ``alone`` bytes. ``sending`` bounds the parts of all blobs that are on
    the way. ``id`` is that of its multipart upload, if it has come to one.
    """

    def __init__(
        self, bucket: Bucket, name: str, sending: asyncio.Semaphore, *, alone: int
    ) -> None:
        self._bucket = bucket
        self._name = name
        self._sending = sending
        self._alone = alone
        self.id: str | None = None
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._part = Part()
        self._number = 0
        self._beginning: asyncio.Task[str] | None = None
        self._on_the_way: set[asyncio.Task[None]] = set()
        self._etags: dict[int, str] = {}
        self._md5s: dict[int, bytes] = {}
        self._ending: asyncio.Task[str | None] | None = None
        self._expected = ""

    async def take(self, data: bytes) -> None:
        """Take the next bytes; waits while enough of them are on the way.

        :raises StorageUnavailable: some did not get there.
        """
        self._sha256.update(data)
        self._size += len(data)
        rest = memoryview(data)
        while rest:
            room = PART_BYTES - self._part.size
            self._part.fill(rest[:room])
            rest = rest[room:]
            if self._part.size == PART_BYTES:
                await self._send()
        self._complain()

    async def take_all(self, data: bytes) -> None:
        """Take all there is, without copying what can be put alone."""
        if len(data) > self._alone:
            await self.take(data)
            return
        self._sha256.update(data)
        self._size, self._part = len(data), Part(data)

    async def finish(self, key: str) -> Blob:
        """Return when S3 has got all of it, as it was sent.

        :raises StorageUnavailable: it has not.
        """
        if self._beginning is None and self._size <= self._alone:
            self._expected = self._part.md5.hexdigest()
            putting = self._bucket.put(self._name, self._part.body, self._part.md5.digest())
            self._ending = asyncio.create_task(putting)
        else:
            if self._part.size:
                await self._send()
            await self._wait_for(0)
            self._expected = of_parts(self._md5s[number] for number in sorted(self._md5s))
            upload = await self._multipart()
            completing = self._bucket.complete(self._name, upload, self._etags, self._size)
            self._ending = asyncio.create_task(completing)
        # Shielded, so that it is known what there is to take away when this is broken off.
        said = await asyncio.shield(self._ending)
        await self._hold_against(said)
        return Blob(key=key, size=self._size, sha256=self._sha256.hexdigest())

    async def give_up(self) -> None:
        """Leave nothing of it; what cannot be taken away now is left to those who sweep."""
        await _let_end(self._ending)
        for sending in self._on_the_way:
            sending.cancel()
        await asyncio.gather(*self._on_the_way, return_exceptions=True)
        try:
            if await _let_end(self._beginning):
                await self._bucket.abort(self._name, await self._multipart())
            if self._ending is not None:
                await self._take_back(landed=await _let_end(self._ending))
        except StorageUnavailable as error:
            log.warning("what was broken off is not taken away", name=self._name, error=str(error))

    async def _send(self) -> None:
        """Let the part that is filled go."""
        upload = await self._multipart()
        await self._wait_for(ON_THE_WAY - 1)
        # Before the next part is begun: what waits for its turn is held in memory, too.
        await self._sending.acquire()
        self._number += 1
        sending = asyncio.create_task(self._send_part(upload, self._number, self._part))
        sending.add_done_callback(lambda _: self._sending.release())
        self._on_the_way.add(sending)
        self._part = Part()

    async def _multipart(self) -> str:
        if self._beginning is None:
            self._beginning = asyncio.create_task(self._begin())
        return await asyncio.shield(self._beginning)

    async def _begin(self) -> str:
        self.id = await self._bucket.begin(self._name)
        return self.id

    async def _send_part(self, upload: str, number: int, part: Part) -> None:
        digest = part.md5.digest()
        etag, said = await self._bucket.put_part(self._name, upload, number, part.body, digest)
        if said is not None and self._bucket.says_md5 and said != digest.hex():
            raise _damaged()
        self._etags[number], self._md5s[number] = etag, digest

    async def _wait_for(self, most: int) -> None:
        """Wait until no more than so many parts are on the way."""
        self._complain()
        while len(self._on_the_way) > most:
            await asyncio.wait(self._on_the_way, return_when=asyncio.FIRST_COMPLETED)
            self._complain()

    def _complain(self) -> None:
        """Forget the parts that got there; raise what kept one from it."""
        for sending in [one for one in self._on_the_way if one.done()]:
            self._on_the_way.discard(sending)
            sending.result()

    async def _hold_against(self, said: str | None) -> None:
        """Believe what was said of the bytes, or else look how many there are.

        :raises NotWhatWasSent: they are others.
        """
        if said == self._expected:
            return
        if self._beginning is None and said is not None and self._bucket.says_md5:
            raise _damaged()
        # Some stores say something of their own of what was put in parts; each was held against it.
        if (await self._bucket.head(self._name)).size != self._size:
            raise _damaged()

    async def _take_back(self, *, landed: bool) -> None:
        """Delete what lies there, unless it may be what lay there before."""
        if not landed:
            try:
                found = await self._bucket.head(self._name)
            except BlobNotFound:
                return
            says = self._beginning is None and self._bucket.says_md5 and found.md5
            if says != self._expected if says else found.size != self._size:
                return
        await self._bucket.delete(self._name)


async def _let_end(step: asyncio.Task[Any] | None) -> bool:
    """Wait a while for a step that was begun, and say whether it is known to be done."""
    if step is None:
        return False
    await asyncio.wait({step}, timeout=LET_END_WITHIN)
    if not step.done():
        step.cancel()
        await asyncio.wait({step})
    return not step.cancelled() and step.exception() is None


def _damaged() -> NotWhatWasSent:
    return NotWhatWasSent("S3 has got other bytes than it was sent; they were taken away again")
