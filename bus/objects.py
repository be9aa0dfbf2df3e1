"""Files that publishers put on the bus: objects in the bucket of their tenant (NATS ADR-20).

A bucket is a stream. The bytes of an object are messages on a subject of its own, its metadata is
one message on the subject of its name.
"""

import asyncio
import base64
import binascii
import hashlib
import re
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from bus import failpoints
from bus.api_replies import MessageReply
from bus.connection import Connection
from bus.errors import BusUnavailable
from bus.stored_messages import NO_MESSAGE, DirectGet, StoredMessage

BUCKET_PREFIX = "ilios-uploads-"
MIN_CHUNK_BYTES = 4096
"""The average chunk of a large object has at least as many bytes, since each costs a request."""
FEW_CHUNKS = 16  # that may be of any size
MAX_NAMES = 10_000  # objects of one bucket among which chunks without metadata are searched
MAX_BROKEN = 1000
"""Puts without metadata in one bucket that are looked at in one pass, each by a request."""

_STREAM_PREFIX = f"OBJ_{BUCKET_PREFIX}"
_NUID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")  # it becomes a token of a subject
_DIGEST_PREFIX = "sha-256="
# JetStream API error codes, nats-server server/errors.json
_NO_STREAM = 10059


def bucket_name(tenant: str) -> str:
    """Return the bucket of a tenant, the same in every account."""
    return f"{BUCKET_PREFIX}{tenant}"


def bucket_stream(tenant: str) -> str:
    """Return the stream behind the bucket of a tenant."""
    return f"{_STREAM_PREFIX}{tenant}"


class ObjectUnusable(Exception):
    """An object cannot be converted; ``code`` is stable, ``reason`` a sentence for its owner.

    It is ``retryable`` where another attempt may find other messages.
    """

    def __init__(self, code: str, reason: str, *, retryable: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.retryable = retryable


class BucketObject(Struct, frozen=True):
    """An object in the bucket of a tenant, of which ``sha256`` is hexadecimal.

    ``sequence`` and ``stored_at`` are those of its metadata.
    """

    tenant: str
    name: str
    chunk_subject: str
    size: int
    chunks: int
    sha256: str
    sequence: int
    stored_at: datetime


class _Link(Struct):
    bucket: str = ""


class _Options(Struct):
    link: _Link | None = None


class _Metadata(Struct):
    """The members of the metadata that count; others are ignored."""

    nuid: str
    size: Annotated[int, Meta(ge=0)] = 0
    chunks: Annotated[int, Meta(ge=0)] = 0
    digest: str | None = None
    deleted: bool | None = False
    options: _Options | None = None


class _StreamState(Struct):
    messages: int = 0
    subjects: dict[str, int] | None = None


class _Response(MessageReply):
    state: _StreamState | None = None
    streams: list[str] | None = None
    total: int = 0


_decode_metadata = msgspec.json.Decoder(_Metadata).decode
_decode_response = msgspec.json.Decoder(_Response).decode


class Objects:
    """The objects in the buckets of all tenants. Every method may raise ``BusUnavailable``."""

    def __init__(self, connection: Connection, max_bytes: int) -> None:
        """``max_bytes`` is the size of the largest object that is read."""
        self._connection = connection
        self._max_bytes = max_bytes

    async def find(self, tenant: str, name: str) -> BucketObject | None:
        """Return an object, or None if there is none of this name.

        The leader of the stream is asked, so that None is certain also in a cluster.

        :raises ObjectUnusable: it is a link, its metadata is damaged, or there is no bucket.
        """
        subject = _metadata_subject(tenant, name)
        response = await self._request(
            f"STREAM.MSG.GET.{bucket_stream(tenant)}", {"last_by_subj": subject}
        )
        found = response.message if response else None
        if found is None:
            return None
        metadata = _parse(found.data)
        if metadata is None:
            raise ObjectUnusable("source_damaged", "The object has no valid metadata.")
        if metadata.deleted:
            return None
        if metadata.options is not None and metadata.options.link is not None:
            raise ObjectUnusable("source_refused", "The object is a link; put the file itself.")
        return BucketObject(
            tenant,
            name,
            _chunk_subject(tenant, metadata.nuid),
            metadata.size,
            metadata.chunks,
            sha256_of(metadata.digest),
            found.seq,
            found.time,
        )

    async def read(self, found: BucketObject) -> AsyncGenerator[bytes, None]:
        """Stream the bytes of an object, which are verified when the end is reached.

        At most two chunks are in memory.

        :raises ObjectUnusable: it is too large, or its bytes are not those of its metadata.
        """
        if found.size > self._max_bytes:
            limit = self._max_bytes // 1024**2
            raise ObjectUnusable("source_too_large", f"The object is larger than {limit} MB.")
        if found.chunks > found.size // MIN_CHUNK_BYTES + FEW_CHUNKS:
            reason = f"The object has too many chunks; put it in chunks of {MIN_CHUNK_BYTES} bytes."
            raise ObjectUnusable("source_refused", reason)
        digest, size = hashlib.sha256(), 0
        async with aclosing(self._chunks(found)) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                if size > found.size:
                    break
                digest.update(chunk)
                yield chunk
                failpoints.reach("objects.chunk")
        if size != found.size or digest.hexdigest() != found.sha256:
            reason = "The bytes of the object are not those of its metadata; put it again."
            raise ObjectUnusable("source_damaged", reason, retryable=True)

    async def _chunks(self, found: BucketObject) -> AsyncGenerator[bytes, None]:
        """Yield the bodies of the chunks in order; the next one is requested meanwhile."""
        bucket = DirectGet(self._connection, bucket_stream(found.tenant))

        def request_after(sequence: int) -> asyncio.Task[StoredMessage | None]:
            return asyncio.create_task(bucket.next_after(sequence, found.chunk_subject))

        requested = request_after(0)
        try:
            for number in range(1, found.chunks + 1):
                message = await requested
                if message is None:
                    return
                if number < found.chunks:
                    requested = request_after(message.sequence)
                yield message.body
        finally:
            requested.cancel()
            await asyncio.gather(requested, return_exceptions=True)

    async def remove(self, found: BucketObject) -> None:
        """Delete an object; one that was put under its name since stays."""
        await self._purge(found.tenant, _metadata_subject(found.tenant, found.name), found.sequence)
        failpoints.reach("objects.unlisted")
        await self._purge(found.tenant, found.chunk_subject)

    async def tenants(self) -> list[str]:
        """Return the tenants that have a bucket, former ones included."""
        names: list[str] = []
        total = 1
        while len(names) < total:  # at most 1024 come at once
            query = {"subject": "$O.*.M.*", "offset": len(names)}
            response = await self._request("STREAM.NAMES", query)
            if response is None or not response.streams:
                break
            names += response.streams
            total = response.total
        return [name.removeprefix(_STREAM_PREFIX) for name in names if _is_bucket(name)]

    async def delete_older(self, tenant: str, than: datetime, wanted: Collection[str] = ()) -> int:
        """Delete the objects that were put before a time, but ``wanted`` ones; returns how many."""
        metadata, deleted = DirectGet(self._connection, bucket_stream(tenant)), 0
        subjects = {_metadata_subject(tenant, name) for name in wanted}
        async for message in metadata.iterate(_metadata_filter(tenant)):
            if message.stored_at >= than or deleted == MAX_NAMES:
                break  # they are in the order of their times
            if message.subject in subjects:
                continue
            parsed = _parse(message.body)
            await self._purge(tenant, message.subject, message.sequence)
            if parsed is not None:
                await self._purge(tenant, _chunk_subject(tenant, parsed.nuid))
            deleted += 1
        return deleted

    async def delete_broken(self, tenant: str, age: timedelta, now: datetime) -> int:
        """Delete chunks without metadata of which the last is older; returns of how many objects.

        They are what a put leaves behind that was interrupted.
        """
        counts = await self._subjects(tenant, _chunk_subject(tenant, "*"))
        if not counts:
            return 0
        if len(await self._subjects(tenant, _metadata_filter(tenant))) > MAX_NAMES:
            return 0
        bucket, deleted = DirectGet(self._connection, bucket_stream(tenant)), 0
        named: set[str] = set()
        async for message in bucket.iterate(_metadata_filter(tenant)):
            parsed = _parse(message.body)
            if parsed is not None and not parsed.deleted:
                named.add(_chunk_subject(tenant, parsed.nuid))
        for subject in islice(counts.keys() - named, MAX_BROKEN):
            last = await bucket.last(subject)
            if last is not None and now - last.stored_at > age:
                await self._purge(tenant, subject, last.sequence)
                deleted += 1
        return deleted

    async def _subjects(self, tenant: str, subject_filter: str) -> dict[str, int]:
        """Return the subjects of a bucket with the numbers of their messages."""
        response = await self._request(
            f"STREAM.INFO.{bucket_stream(tenant)}", {"subjects_filter": subject_filter}
        )
        state = response.state if response else None
        return (state.subjects or {}) if state else {}

    async def _purge(self, tenant: str, subject: str, up_to: int | None = None) -> None:
        query: dict[str, Any] = {"filter": subject}
        if up_to is not None:
            query["seq"] = up_to + 1
        await self._request(f"STREAM.PURGE.{bucket_stream(tenant)}", query)

    async def _request(self, operation: str, query: dict[str, Any]) -> _Response | None:
        """Return the reply of the JetStream API, or None where there is no such message."""
        reply = await self._connection.request(f"$JS.API.{operation}", msgspec.json.encode(query))
        try:
            response = _decode_response(reply.body)
        except msgspec.MsgspecError as error:
            raise BusUnavailable(f"no valid reply to {operation}: {error}") from error
        if response.error is None:
            return response
        if response.error.err_code == NO_MESSAGE:
            return None
        if response.error.err_code == _NO_STREAM:
            # Perhaps of a server that has only just started.
            raise ObjectUnusable("source_missing", "The bucket does not exist.", retryable=True)
        raise BusUnavailable(f"{operation} refused: {response.error.description}")


def _is_bucket(stream: str) -> bool:
    return stream.startswith(_STREAM_PREFIX)


def _metadata_subject(tenant: str, name: str) -> str:
    return f"$O.{bucket_name(tenant)}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"


def _metadata_filter(tenant: str) -> str:
    return f"$O.{bucket_name(tenant)}.M.*"


def _chunk_subject(tenant: str, nuid: str) -> str:
    return f"$O.{bucket_name(tenant)}.C.{nuid}"


def _parse(body: bytes) -> _Metadata | None:
    """Return the metadata of an object, or None if its client did not write it."""
    try:
        metadata = _decode_metadata(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return metadata if _NUID.match(metadata.nuid) else None


def sha256_of(digest: str | None) -> str:
    """Return a digest of an object store as hexadecimal text, or "" if it is no SHA-256."""
    if digest is None or digest[: len(_DIGEST_PREFIX)].lower() != _DIGEST_PREFIX:
        return ""
    encoded = digest[len(_DIGEST_PREFIX) :].rstrip("=")
    try:
        return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).hex()
    except (binascii.Error, ValueError):
        return ""
