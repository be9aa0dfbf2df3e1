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
from ilios.blobs.s3.client import Client
from ilios.blobs.s3.errors import NOT_THERE, S3Misconfigured, S3Refused

MOST_LISTED = 1000  # in one answer, as S3 has it

_MD5 = re.compile(r"[0-9a-f]{32}(-[0-9]+)?")


class Found(Struct, frozen=True):
    """What S3 tells of an object.

    ``etag`` names its content; ``md5`` is what it says of its bytes: their MD5, that of the MD5s
    of their parts and how many these are, or nothing.
    """

    size: int
    etag: str
    md5: str | None


class Listed(Struct, frozen=True):
    """An object in a list."""

    name: str
    size: int
    modified_at: datetime


class Begun(Struct, frozen=True):
    """A multipart upload that was begun, and neither completed nor aborted."""

    name: str
    id: str
    begun_at: datetime


class Bucket:
    """Objects of one bucket, by their full names. Errors are those of ``Client.call``.

    ``says_md5`` is whether what this store says of bytes that are put in one piece is their MD5.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._call = client.call
        self._presign = client.presign
        self._place = client.place
        self.says_md5 = True

    async def put(self, name: str, body: BytesIO, md5: bytes) -> str | None:
        """Put an object in one piece; returns what S3 says is the MD5 of it."""
        size = body.seek(0, SEEK_END)
        body.seek(0)
        answer = await self._call(
            "put_object",
            moved=size,
            Key=name,
            Body=body,
            ContentLength=size,
            ContentMD5=base64.b64encode(md5).decode(),
        )
        return said_md5(answer)

    async def begin(self, name: str) -> str:
        """Begin a multipart upload; returns its id."""
        answer = await self._call("create_multipart_upload", Key=name)
        return str(answer["UploadId"])

    async def put_part(
        self, name: str, upload: str, number: int, body: BytesIO, md5: bytes
    ) -> tuple[str, str | None]:
        """Put a part; returns its ETag and its MD5, as S3 says."""
        size = body.seek(0, SEEK_END)
        body.seek(0)
        answer = await self._call(
            "upload_part",
            moved=size,
            Key=name,
            UploadId=upload,
            PartNumber=number,
            Body=body,
            ContentLength=size,
            ContentMD5=base64.b64encode(md5).decode(),
        )
        return answer["ETag"], said_md5(answer)

    async def complete(
        self, name: str, upload: str, parts: Mapping[int, str], size: int
    ) -> str | None:
        """Make the parts one object of so many bytes; returns what S3 says is the MD5 of it."""
        listed = [{"PartNumber": number, "ETag": parts[number]} for number in sorted(parts)]
        answer = await self._call(
            "complete_multipart_upload",
            moved=size,  # what it takes a store to put them together
            Key=name,
            UploadId=upload,
            MultipartUpload={"Parts": listed},
        )
        return said_md5(answer)

    async def abort(self, name: str, upload: str) -> None:
        """Abort a multipart upload; one that is over already is no error."""
        try:
            await self._call("abort_multipart_upload", Key=name, UploadId=upload)
        except S3Refused as refused:
            if refused.code not in ("NoSuchUpload", *NOT_THERE):
                raise

    async def begun(self, prefix: str) -> AsyncIterator[Begun]:
        """Walk the multipart uploads that are under way."""
        marker: dict[str, Any] = {}
        while True:
            answer = await self._call("list_multipart_uploads", Prefix=prefix, **marker)
            for one in answer.get("Uploads", ()):
                yield Begun(one["Key"], one["UploadId"], one["Initiated"])
            if not answer.get("IsTruncated"):
                return
            marker = {
                "KeyMarker": answer["NextKeyMarker"],
                "UploadIdMarker": answer["NextUploadIdMarker"],
            }

    async def head(self, name: str) -> Found:
        """Tell of an object.

        :raises BlobNotFound: there is none.
        """
        async with self._may_be_missing(name):
            answer = await self._call("head_object", Key=name)
        return _found(answer, answer["ContentLength"])

    @asynccontextmanager
    async def get(
        self, name: str, start: int = 0, stop: int | None = None, etag: str | None = None
    ) -> AsyncIterator[tuple[Found, Body]]:
        """Open an object at byte ``start``; ``etag`` is what it has to be.

        :raises BlobNotFound: there is none.
        """
        wanted: dict[str, Any] = {"IfMatch": etag} if etag else {}
        if start or stop is not None:
            wanted["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        async with self._may_be_missing(name):
            answer = await self._call("get_object", Key=name, **wanted)
        body = Body(answer["Body"], answer["ContentLength"], self._place)
        try:
            if etag and answer["ETag"] != etag:  # not every store knows If-Match
                message = f"{name} was replaced while it was read"
                raise S3Refused(message, code="PreconditionFailed")
            size = answer["ContentLength"]
            if "Range" in wanted:
                _, _, size = str(answer.get("ContentRange", "")).rpartition("/")
                if not size.isdigit():
                    where = self._place.where
                    raise StorageUnavailable(f"S3 at {where} does not give parts of an object")
            yield _found(answer, int(size)), body
        finally:
            body.close()

    async def copy(self, source: str, target: str, found: Found) -> None:
        """Copy an object that is still what was ``found``."""
        await self._call(
            "copy_object",
            moved=found.size,
            Key=target,
            CopySource={"Bucket": self._place.bucket, "Key": source},
            CopySourceIfMatch=found.etag,
        )

    async def delete(self, name: str) -> None:
        """Delete an object; one that is not there is no error."""
        try:
            await self._call("delete_object", Key=name)
        except S3Refused as refused:
            if refused.code not in NOT_THERE:
                raise

    async def page(self, prefix: str, after: str, limit: int) -> tuple[list[Listed], bool]:
        """List objects whose names begin with ``prefix``, and whether there are more."""
        answer = await self._call(
            "list_objects_v2", Prefix=prefix, StartAfter=after, MaxKeys=min(limit, MOST_LISTED)
        )
        found = answer.get("Contents", ())
        objects = [Listed(one["Key"], one["Size"], one["LastModified"]) for one in found]
        return objects, bool(answer.get("IsTruncated"))

    async def find_region(self) -> str:
        """Return the region the bucket says it is in; needs the right to list."""
        answer = await self._call(
            "list_objects_v2", Prefix=self._place.prefix, StartAfter="", MaxKeys=1
        )
        region = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
        return str(region or self._client.region)

    async def check(self) -> None:
        """Return if the bucket is there."""
        try:
            await self._call("head_bucket")
        except S3Refused as refused:
            if refused.code not in NOT_THERE:
                raise
            place = self._place  # this call's answer has no body, and so no better word for it
            raise S3Misconfigured(
                f"there is no bucket {place.bucket} at {place.where}: create it, or set S3_BUCKET",
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
    async def _may_be_missing(self, name: str) -> AsyncIterator[None]:
        try:
            yield
        except S3Refused as refused:
            if refused.code not in NOT_THERE:
                raise
            if refused.code != "NoSuchKey":
                await self.check()  # 404 may also mean the bucket, and then no blob is missing
            raise BlobNotFound(name) from refused


def said_md5(answer: Mapping[str, Any]) -> str | None:
    """Return what an ETag says of the bytes; nothing, where they are encrypted under it."""
    encrypted = str(answer.get("ServerSideEncryption", "")).startswith("aws:")
    etag = str(answer.get("ETag", "")).strip('"').lower()
    if encrypted or answer.get("SSECustomerAlgorithm") or not _MD5.fullmatch(etag):
        return None
    return etag


def _found(answer: Mapping[str, Any], size: int) -> Found:
    return Found(size, str(answer["ETag"]), said_md5(answer))
