"""Opaque text: ids of events and tickets, encrypted and bound to what they are for.

An id of an event would otherwise show how many events there are of all tenants together. Sealing is
deterministic (a synthetic initialisation vector), so an event has the same id on every edge.
"""

import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta

import msgspec
from aiohttp import web
from msgspec import Struct

from bus.reader import LogPosition

_VECTOR_BYTES = 16
_BLOCK_BYTES = 32
_POSITION = struct.Struct(">Qq")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MAX_TEXT = 400


class Scope(Struct, frozen=True):
    """What a stream is about: a document, a batch, or everything of the tenant."""

    tenant: str
    kind: str
    name: str = ""


class Sealer:
    """Seals bytes and opens what it has sealed. ``key`` is a secret of the data directory."""

    def __init__(self, key: bytes) -> None:
        self._vector_key = hmac.digest(key, b"vector", "sha256")
        self._stream_key = hmac.digest(key, b"stream", "sha256")

    def seal(self, plain: bytes, context: bytes) -> str:
        """Return text from which nothing can be read, for this context only."""
        vector = self._vector(plain, context)
        return urlsafe_b64encode(vector + self._encrypt(plain, vector)).rstrip(b"=").decode()

    def open(self, text: str, context: bytes) -> bytes | None:
        """Return what was sealed for this context; None if the text is anything else."""
        if len(text) > _MAX_TEXT or not text.isascii():
            return None
        try:
            sealed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError:
            return None
        vector = sealed[:_VECTOR_BYTES]
        plain = self._encrypt(sealed[_VECTOR_BYTES:], vector)
        return plain if hmac.compare_digest(self._vector(plain, context), vector) else None

    def seal_position(self, position: LogPosition, scope: Scope) -> str:
        """Return the id of the event at a position, in the stream of a scope."""
        moment = (position.stored_at - _EPOCH) // _MICROSECOND
        return self.seal(_POSITION.pack(position.sequence, moment), _context(scope))

    def open_position(self, text: str, scope: Scope) -> LogPosition | None:
        """Return the position of an id; None if it is none of this stream."""
        plain = self.open(text, _context(scope))
        if plain is None or len(plain) != _POSITION.size:
            return None
        sequence, moment = _POSITION.unpack(plain)
        return LogPosition(sequence, _EPOCH + moment * _MICROSECOND)

    def _vector(self, plain: bytes, context: bytes) -> bytes:
        message = len(context).to_bytes(4, "big") + context + plain
        return hmac.digest(self._vector_key, message, "sha256")[:_VECTOR_BYTES]

    def _encrypt(self, data: bytes, vector: bytes) -> bytes:
        blocks = -(-len(data) // _BLOCK_BYTES)
        key_stream = b"".join(
            hmac.digest(self._stream_key, vector + number.to_bytes(4, "big"), "sha256")
            for number in range(blocks)
        )
        return bytes(left ^ right for left, right in zip(data, key_stream, strict=False))


SEALER = web.AppKey("event_sealer", Sealer)


def _context(scope: Scope) -> bytes:
    return b"event " + msgspec.json.encode(scope)
