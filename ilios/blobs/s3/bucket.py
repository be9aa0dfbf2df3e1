"""The bucket: the calls of S3 that are needed, with types."""

import base64
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from io import SEEK_END, BytesIO
from typing import Any

from msgspec import Struct

from actors.ports import BlobNotFound, StorageUnavailable
from ilios.blobs.s3.body import Body
from ilios.blobs.s3.client import S3Client
from ilios.blobs.s3.errors import NOT_FOUND_CODES, S3ErrorResponse, S3Misconfigured

MAX_KEYS = 1000  # in one answer, as S3 has it

_MD5 = re.compile(r"[0-9a-f]{32}(-[0-9]+)?")


class ObjectInfo(Struct, frozen=True):
    """What S3 tells of an object.

    ``etag`` names its content; ``md5`` is what it says of its bytes: their MD5, that of the MD5s
    of their parts and how many these are, or nothing.
    """

    size: int
    etag: str
    md5: str | None


class ListedObject(Struct, frozen=True):
    """An object in a list."""

    name: str
    size: int
    modified_at: datetime


class MultipartUpload(Struct, frozen=True):
    """A multipart upload that was begun, and neither completed nor aborted."""

    name: str
    id: str
    initiated_at: datetime


class Bucket:
    """Objects of one bucket, by their full names. Errors are those of ``Client.call``.

    ``says_md5`` is whether what this store says of bytes that are put in one piece is their MD5.
    """

    def __init__(self, client: S3Client) -> None:
        self._client = client
        self._call = client.call
        self._presign = client.presign
        self._config = client.config
        self.etag_is_md5 = True

    async def put(self, name: str, body: BytesIO, md5: bytes) -> str | None:
        """Put an object in one piece; returns what S3 says is the MD5 of it."""
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
        """Begin a multipart upload; returns its id."""
        answer = await self._call("create_multipart_upload", Key=name)
        return str(answer["UploadId"])

    async def put_part(
        self, name: str, upload_id: str, number: int, body: BytesIO, md5: bytes
    ) -> tuple[str, str | None]:
        """Put a part; returns its ETag and its MD5, as S3 says."""
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
        """Make the parts one object of so many bytes; returns what S3 says is the MD5 of it."""
        listed = [{"PartNumber": number, "ETag": parts[number]} for number in sorted(parts)]
        answer = await self._call(
            "complete_multipart_upload",
            body_bytes=size,  # what it takes a store to put them together
            Key=name,
            UploadId=upload_id,
            MultipartUpload={"Parts": listed},
        )
        return md5_from_etag(answer)

    async def abort_multipart(self, name: str, upload_id: str) -> None:
        """Abort a multipart upload; one that is over already is no error."""
        try:
            await self._call("abort_multipart_upload", Key=name, UploadId=upload_id)
        except S3ErrorResponse as refused:
            if refused.code not in ("NoSuchUpload", *NOT_FOUND_CODES):
                raise

    async def multipart_uploads(self, prefix: str) -> AsyncIterator[MultipartUpload]:
        """Walk the multipart uploads that are under way."""
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
        """Tell of an object.

        :raises BlobNotFound: there is none.
        """
        async with self._map_not_found(name):
            answer = await self._call("head_object", Key=name)
        return _object_info(answer, answer["ContentLength"])

    @asynccontextmanager
    async def get(
        self, name: str, start: int = 0, stop: int | None = None, etag: str | None = None
    ) -> AsyncIterator[tuple[ObjectInfo, Body]]:
        """Open an object at byte ``start``; ``etag`` is what it has to be.

        :raises BlobNotFound: there is none.
        """
        wanted: dict[str, Any] = {"IfMatch": etag} if etag else {}
        if start or stop is not None:
            wanted["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        async with self._map_not_found(name):
            answer = await self._call("get_object", Key=name, **wanted)
        body = Body(answer["Body"], answer["ContentLength"], self._config)
        try:
            if etag and answer["ETag"] != etag:  # not every store knows If-Match
                message = f"{name} was replaced while it was read"
                raise S3ErrorResponse(message, code="PreconditionFailed")
            size = answer["ContentLength"]
            if "Range" in wanted:
                _, _, size = str(answer.get("ContentRange", "")).rpartition("/")
                if not size.isdigit():
                    where = self._config.location
                    raise StorageUnavailable(f"S3 at {where} does not give parts of an object")
            yield _object_info(answer, int(size)), body
        finally:
            body.close()

    async def copy(self, source: str, target: str, expected: ObjectInfo) -> None:
        """Copy an object that is still what was ``found``."""
        await self._call(
            "copy_object",
            body_bytes=expected.size,
            Key=target,
            CopySource={"Bucket": self._config.bucket, "Key": source},
            CopySourceIfMatch=expected.etag,
        )

    async def delete(self, name: str) -> None:
        """Delete an object; one that is not there is no error."""
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
        """Return the region the bucket says it is in; needs the right to list."""
        answer = await self._call(
            "list_objects_v2", Prefix=self._config.prefix, StartAfter="", MaxKeys=1
        )
        region = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
        return str(region or self._client.region)

    async def check(self) -> None:
        """Return if the bucket is there."""
        try:
            await self._call("head_bucket")
        except S3ErrorResponse as refused:
            if refused.code not in NOT_FOUND_CODES:
                raise
            config = self._config  # this call's answer has no body, and so no better word for it
            raise S3Misconfigured(
                f"there is no bucket {config.bucket} at {config.location}: create it, or set "
                "S3_BUCKET",
                code="NoSuchBucket",
            ) from refused

    async def presign_put(self, name: str, *, size: int, expires_in: int) -> str:
        """Return a URL that carries the right to put so many bytes there."""
        # The length is signed with it; whether it is held to it is up to the store.
        return await self._presign("put_object", expires_in, Key=name, ContentLength=size)

    async def presign_get(
        self, name: str, *, expires_in: int, disposition: str, content_type: str
    ) -> str:
        """Return a URL that carries the right to get the object, to be answered like this."""
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
    """Return what an ETag says of the bytes; nothing, where they are encrypted under it."""
    encrypted = str(answer.get("ServerSideEncryption", "")).startswith("aws:")
    etag = str(answer.get("ETag", "")).strip('"').lower()
    if encrypted or answer.get("SSECustomerAlgorithm") or not _MD5.fullmatch(etag):
        return None
    return etag


def _object_info(answer: Mapping[str, Any], size: int) -> ObjectInfo:
    return ObjectInfo(size, str(answer["ETag"]), md5_from_etag(answer))
