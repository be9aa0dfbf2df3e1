"""The S3 calls that the store needs, with types, and checks by MD5.

MD5 detects accidental damage in transfer; SHA-256 is the hash that identifies blobs.
"""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from io import SEEK_END, BytesIO
from typing import Any

from msgspec import Struct

from actors.ports import BlobNotFound, StorageUnavailable
from ilios.blobs.s3 import S3Config
from ilios.blobs.s3.client import (
    NOT_FOUND_CODES,
    SDK_ERRORS,
    S3Client,
    S3ErrorResponse,
    S3Misconfigured,
    translate,
    unreachable,
)

PART_BYTES = 8 * 1024 * 1024
"""Size of every part but the last. S3 takes at least 5 MiB, and at most 10,000 parts."""


def md5(data: bytes = b"") -> "hashlib._Hash":
    """Return an MD5 hash of ``data`` that can be updated."""
    return hashlib.md5(data, usedforsecurity=False)


def multipart_md5(digests: Iterable[bytes]) -> str:
    """Return the MD5 that S3 gives an object of parts with these digests."""
    listed = list(digests)
    return f"{md5(b''.join(listed)).hexdigest()}-{len(listed)}"


class Md5Check:
    """Compares received bytes with the MD5 of S3: of the bytes, of their parts, or unknown."""

    def __init__(self, expected: str | None) -> None:
        self._expected = expected
        self._by_parts = expected is not None and "-" in expected
        self._parts: list[bytes] = []
        self._current = md5()
        self._left = PART_BYTES

    def update(self, data: bytes) -> None:
        """Add the next bytes."""
        if self._expected is None:
            return
        while self._by_parts and len(data) >= self._left:
            self._current.update(data[: self._left])
            data = data[self._left :]
            self._next_part()
        self._current.update(data)
        self._left -= len(data)

    @property
    def matches(self) -> bool:
        """Whether the bytes match; true also if the MD5 is unknown."""
        if self._expected is None:
            return True
        if not self._by_parts:
            return self._current.hexdigest() == self._expected
        rest = [self._current.digest()] if self._left < PART_BYTES else []
        return multipart_md5([*self._parts, *rest]) == self._expected

    def _next_part(self) -> None:
        self._parts.append(self._current.digest())
        self._current, self._left = md5(), PART_BYTES


CHUNK_BYTES = 256 * 1024  # at most; usually fewer are available
SILENT_FOR = 20.0  # seconds without a byte until a read fails


class Body:
    """A response body of ``length`` bytes. Close it, also before its end."""

    def __init__(self, stream: Any, length: int, config: S3Config) -> None:  # noqa: ANN401  # no types
        self._stream = stream
        self._config = config
        self.length = length

    async def read(self) -> bytes:
        """Return available bytes, or wait for them; nothing at the end.

        :raises StorageUnavailable: nothing comes, or the connection breaks.
        """
        try:
            async with asyncio.timeout(SILENT_FOR):
                chunk: bytes = await self._stream.read(CHUNK_BYTES)
                return chunk
        except SDK_ERRORS as error:
            raise translate(error, "GetObject", self._config) from error
        except TimeoutError as error:
            raise unreachable(self._config, f"no bytes for {SILENT_FOR:.0f} s") from error

    def close(self) -> None:
        """Close the body; unread bytes are lost, and the connection with them."""
        self._stream.close()


MAX_KEYS = 1000  # in one answer, as S3 has it

_MD5 = re.compile(r"[0-9a-f]{32}(-[0-9]+)?")


class ObjectInfo(Struct, frozen=True):
    """Size, ETag and MD5 of an object.

    ``md5`` is that of its bytes, or that of the MD5s of its parts with their number, or None.
    """

    size: int
    etag: str
    md5: str | None


class ListedObject(Struct, frozen=True):
    """An object of a listing."""

    name: str
    size: int
    modified_at: datetime


class MultipartUpload(Struct, frozen=True):
    """A multipart upload that is neither completed nor aborted."""

    name: str
    id: str
    initiated_at: datetime


class Bucket:
    """Objects of one bucket, by their full names. Errors are those of ``S3Client.call``.

    ``etag_is_md5`` is whether the ETag of an object that was put in one request is its MD5.
    """

    def __init__(self, client: S3Client) -> None:
        self._client = client
        self._call = client.call
        self._presign = client.presign
        self._config = client.config
        self.etag_is_md5 = True

    async def put(self, name: str, body: BytesIO, md5: bytes) -> str | None:
        """Put an object in one request; returns the MD5 that S3 reports."""
        size = body.seek(0, SEEK_END)
        body.seek(0)
        answer = await self._call(
            "put_object",
            body_bytes=size,
            Key=name,
            Body=body,
            ContentLength=size,
            ContentMD5=base64.b64encode(md5).decode(),
        )
        return md5_from_etag(answer)

    async def create_multipart(self, name: str) -> str:
        """Create a multipart upload; returns its id."""
        answer = await self._call("create_multipart_upload", Key=name)
        return str(answer["UploadId"])

    async def put_part(
        self, name: str, upload_id: str, number: int, body: BytesIO, md5: bytes
    ) -> tuple[str, str | None]:
        """Put a part; returns the ETag and the MD5 that S3 reports."""
        size = body.seek(0, SEEK_END)
        body.seek(0)
        answer = await self._call(
            "upload_part",
            body_bytes=size,
            Key=name,
            UploadId=upload_id,
            PartNumber=number,
            Body=body,
            ContentLength=size,
            ContentMD5=base64.b64encode(md5).decode(),
        )
        return answer["ETag"], md5_from_etag(answer)

    async def complete_multipart(
        self, name: str, upload_id: str, parts: Mapping[int, str], size: int
    ) -> str | None:
        """Complete a multipart upload of ``size`` bytes; returns the MD5 that S3 reports."""
        listed = [{"PartNumber": number, "ETag": parts[number]} for number in sorted(parts)]
        answer = await self._call(
            "complete_multipart_upload",
            body_bytes=size,  # a store may copy all parts
            Key=name,
            UploadId=upload_id,
            MultipartUpload={"Parts": listed},
        )
        return md5_from_etag(answer)

    async def abort_multipart(self, name: str, upload_id: str) -> None:
        """Abort a multipart upload; one that has ended is no error."""
        try:
            await self._call("abort_multipart_upload", Key=name, UploadId=upload_id)
        except S3ErrorResponse as refused:
            if refused.code not in ("NoSuchUpload", *NOT_FOUND_CODES):
                raise

    async def multipart_uploads(self, prefix: str) -> AsyncIterator[MultipartUpload]:
        """Iterate over the multipart uploads in progress."""
        marker: dict[str, Any] = {}
        while True:
            answer = await self._call("list_multipart_uploads", Prefix=prefix, **marker)
            for one in answer.get("Uploads", ()):
                yield MultipartUpload(one["Key"], one["UploadId"], one["Initiated"])
            if not answer.get("IsTruncated"):
                return
            marker = {
                "KeyMarker": answer["NextKeyMarker"],
                "UploadIdMarker": answer["NextUploadIdMarker"],
            }

    async def head(self, name: str) -> ObjectInfo:
        """Return size, ETag and MD5 of an object.

        :raises BlobNotFound: it does not exist.
        """
        async with self._map_not_found(name):
            answer = await self._call("head_object", Key=name)
        return _object_info(answer, answer["ContentLength"])

    @asynccontextmanager
    async def get(
        self, name: str, start: int = 0, stop: int | None = None, etag: str | None = None
    ) -> AsyncIterator[tuple[ObjectInfo, Body]]:
        """Open an object at byte ``start``, if its ETag is ``etag``.

        :raises BlobNotFound: it does not exist.
        """
        wanted: dict[str, Any] = {"IfMatch": etag} if etag else {}
        if start or stop is not None:
            wanted["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        async with self._map_not_found(name):
            answer = await self._call("get_object", Key=name, **wanted)
        body = Body(answer["Body"], answer["ContentLength"], self._config)
        try:
            if etag and answer["ETag"] != etag:  # not every store implements If-Match
                message = f"{name} was replaced while it was read"
                raise S3ErrorResponse(message, code="PreconditionFailed")
            size = answer["ContentLength"]
            if "Range" in wanted:
                _, _, size = str(answer.get("ContentRange", "")).rpartition("/")
                if not size.isdigit():
                    where = self._config.location
                    raise StorageUnavailable(f"S3 at {where} does not support ranges of an object")
            yield _object_info(answer, int(size)), body
        finally:
            body.close()

    async def copy(self, source: str, target: str, expected: ObjectInfo) -> None:
        """Copy an object, if it is still the ``expected`` one."""
        await self._call(
            "copy_object",
            body_bytes=expected.size,
            Key=target,
            CopySource={"Bucket": self._config.bucket, "Key": source},
            CopySourceIfMatch=expected.etag,
        )

    async def delete(self, name: str) -> None:
        """Delete an object; a missing one is no error."""
        try:
            await self._call("delete_object", Key=name)
        except S3ErrorResponse as refused:
            if refused.code not in NOT_FOUND_CODES:
                raise

    async def page(self, prefix: str, after: str, limit: int) -> tuple[list[ListedObject], bool]:
        """List objects whose names begin with ``prefix``, and whether there are more."""
        answer = await self._call(
            "list_objects_v2", Prefix=prefix, StartAfter=after, MaxKeys=min(limit, MAX_KEYS)
        )
        found = answer.get("Contents", ())
        objects = [ListedObject(one["Key"], one["Size"], one["LastModified"]) for one in found]
        return objects, bool(answer.get("IsTruncated"))

    async def find_region(self) -> str:
        """Return the region of the bucket; needs the permission to list."""
        answer = await self._call(
            "list_objects_v2", Prefix=self._config.prefix, StartAfter="", MaxKeys=1
        )
        region = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
        return str(region or self._client.region)

    async def check(self) -> None:
        """Check that the bucket exists."""
        try:
            await self._call("head_bucket")
        except S3ErrorResponse as refused:
            if refused.code not in NOT_FOUND_CODES:
                raise
            config = self._config  # the answer to HEAD has no body, and so no error code
            raise S3Misconfigured(
                f"there is no bucket {config.bucket} at {config.location}: create it, or set "
                "S3_BUCKET",
                code="NoSuchBucket",
            ) from refused

    async def presign_put(self, name: str, *, size: int, expires_in: int) -> str:
        """Return a URL that permits to put an object of ``size`` bytes."""
        # The length is signed; whether it is enforced is up to the store.
        return await self._presign("put_object", expires_in, Key=name, ContentLength=size)

    async def presign_get(
        self, name: str, *, expires_in: int, disposition: str, content_type: str
    ) -> str:
        """Return a URL that permits to get the object, with these response headers."""
        return await self._presign(
            "get_object",
            expires_in,
            Key=name,
            ResponseContentDisposition=disposition,
            ResponseContentType=content_type,
        )

    @asynccontextmanager
    async def _map_not_found(self, name: str) -> AsyncIterator[None]:
        try:
            yield
        except S3ErrorResponse as refused:
            if refused.code not in NOT_FOUND_CODES:
                raise
            if refused.code != "NoSuchKey":
                await self.check()  # 404 may also mean the bucket, and then no blob is missing
            raise BlobNotFound(name) from refused


def md5_from_etag(answer: Mapping[str, Any]) -> str | None:
    """Return the MD5 in an ETag; None for encrypted objects, whose ETag is something else."""
    encrypted = str(answer.get("ServerSideEncryption", "")).startswith("aws:")
    etag = str(answer.get("ETag", "")).strip('"').lower()
    if encrypted or answer.get("SSECustomerAlgorithm") or not _MD5.fullmatch(etag):
        return None
    return etag


def _object_info(answer: Mapping[str, Any], size: int) -> ObjectInfo:
    return ObjectInfo(size, str(answer["ETag"]), md5_from_etag(answer))
