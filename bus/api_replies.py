"""Replies of the JetStream API, as far as their members count here."""

from datetime import datetime

from msgspec import Struct


class ApiError(Struct):
    """Why a request was refused."""

    err_code: int = 0
    description: str = ""


class ApiMessage(Struct):
    """A stored message; its headers and its body are base64 on the wire."""

    subject: str
    seq: int
    time: datetime
    hdrs: bytes = b""
    data: bytes = b""


class MessageReply(Struct):
    """The reply of ``STREAM.MSG.GET``."""

    error: ApiError | None = None
    message: ApiMessage | None = None
