"""What is asked and answered about documents that are uploaded in a request of their own."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .documents import (
    DEFAULT_RETENTION_DAYS,
    ContentType,
    FileName,
    RetentionDays,
)
from .options import EngineName

_ModelName = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9.-]{0,63}$")]


class UploadWanted(Struct, frozen=True, kw_only=True, rename="camel"):
    """What a client is about to upload; ``fileSize`` in bytes, exactly.

    ``engine`` and ``model`` say what is to convert it; without them the service chooses.
    """

    file_name: FileName
    file_size: Annotated[int, Meta(ge=1)]
    mime_type: ContentType | None = None
    retention_days: RetentionDays = DEFAULT_RETENTION_DAYS
    engine: EngineName | None = None
    model: _ModelName | None = None


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
