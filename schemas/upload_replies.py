"""What is answered about documents that are uploaded in a request of their own."""

from typing import Literal

from msgspec import Struct


class UploadUrl(Struct, frozen=True, kw_only=True, rename="camel"):
    """Where the bytes are to be PUT. ``expiresIn`` is in seconds."""

    id: str
    upload_url: str
    s3_key: str
    expires_in: int


class UploadConfirmed(Struct, frozen=True, kw_only=True, rename="camel"):
    """The upload has arrived and its document will be converted."""

    id: str
    status: Literal["pending"] = "pending"
    message: str
