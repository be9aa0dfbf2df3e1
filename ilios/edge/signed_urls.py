"""Signed upload URLs: the right to PUT so many bytes of one document until some time.

The signed values are readable in the URL or in the reservation. Only the secret, which never leaves
the data directory, makes the signature. It begins with its version, so that there can be others.
"""

import hmac
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlencode

from aiohttp import web
from msgspec import Meta, Struct

from actors.blob_keys import NO_TENANT
from ilios.edge.context import EDGE
from ilios.edge.errors import HttpProblem
from ilios.secret import load_or_create_secrets
from schemas.ids import is_id

PREFIX = "/api/uploads/"
SECRET_BYTES = 32
VERSION = "v1"
_PURPOSE = "ilios upload"  # separates this use of the secret from any other

_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_NUMBER = re.compile(r"[0-9]{1,18}")


class SignatureError(Exception):
    """A signature is not valid."""


class BadSignature(SignatureError):
    """The signature was not made here for this upload."""


class SignatureExpired(SignatureError):
    """The signature is genuine, but its time is over."""


class _StoredSecret(Struct, frozen=True):
    secret: Annotated[bytes, Meta(min_length=SECRET_BYTES, max_length=SECRET_BYTES)]


class Signer:
    """Signs uploads and verifies its signatures. ``clock`` gives seconds since 1970."""

    def __init__(self, secret: bytes, *, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return a signer with the secret in ``path``, created at the first start.

        :raises SecretsDamaged: there is no secret in the file.
        """
        stored = load_or_create_secrets(path, _StoredSecret, _new_secret)
        return cls(stored.secret)

    def sign(self, tenant: str, document_id: str, size: int, expires_at: int) -> str:
        """Return the signature, in letters that need no quoting in a URL.

        It holds for exactly ``size`` bytes and before ``expires_at``, in seconds since 1970.
        """
        fields = (_PURPOSE, VERSION, tenant, document_id, str(size), str(expires_at))
        # Each with its length, so that no two uploads give the same message.
        message = "".join(f"{len(field)}:{field}" for field in fields)
        return f"{VERSION}.{hmac.digest(self._secret, _bytes(message), 'sha256').hex()}"

    def derive_key(self, purpose: str) -> bytes:
        """Return a key for another purpose, which shows nothing of the secret."""
        return hmac.digest(self._secret, _bytes(f"ilios key {purpose}"), "sha256")

    def verify(
        self, signature: str, tenant: str, document_id: str, size: int, expires_at: int
    ) -> None:
        """Return if ``signature`` was made for these values and has not expired.

        :raises BadSignature: it was not made for these values.
        :raises SignatureExpired: it was, but ``expires_at`` has come.
        """
        expected = self.sign(tenant, document_id, size, expires_at)
        if not hmac.compare_digest(_bytes(signature), _bytes(expected)):
            raise BadSignature("the signature of this upload URL does not fit it")
        if self._clock() >= expires_at:
            raise SignatureExpired("this upload URL has expired; ask for another one")


_COUNT = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}


class UploadSignature(Struct, frozen=True, kw_only=True):
    """The query of an upload URL, which ``verify`` checks."""

    size: Annotated[
        str,
        Meta(
            description="How many bytes it must have.",
            extra={"code": ""},
            extra_json_schema=_COUNT,
        ),
    ]
    expires: Annotated[
        str,
        Meta(
            description="Until when the address is valid, in seconds since 1970.",
            extra={"code": ""},
            extra_json_schema=_COUNT,
        ),
    ]
    signature: Annotated[
        str,
        Meta(
            min_length=1,
            description="Shows that this service has made the address.",
            extra={"code": ""},
        ),
    ]


def make_url(request: web.Request, document_id: str, size: int, expires_at: int) -> str:
    """Return where ``size`` bytes may be PUT before ``expires_at``, in seconds since 1970."""
    signer = request.app[EDGE].signer
    query = {
        "size": size,
        "expires": expires_at,
        "signature": signer.sign(NO_TENANT, document_id, size, expires_at),
    }
    return f"{_public_origin(request)}{PREFIX}{document_id}?{urlencode(query)}"


def verify(request: web.Request) -> int:
    """Return the size that the request's URL was signed for.

    :raises HttpProblem: it was not signed here, or has expired (403).
    """
    document_id, query = request.match_info["id"], request.query
    size, expires = (query.get(name, "") for name in ("size", "expires"))
    invalid = HttpProblem(403, "upload_url_invalid", "The upload URL is not valid")
    if not is_id(document_id):
        raise invalid
    if not _NUMBER.fullmatch(size) or not _NUMBER.fullmatch(expires):
        raise invalid
    try:
        request.app[EDGE].signer.verify(
            query.get("signature", ""), NO_TENANT, document_id, int(size), int(expires)
        )
    except BadSignature:
        raise invalid from None
    except SignatureExpired:
        raise HttpProblem(403, "upload_url_expired", "The upload URL has expired") from None
    return int(size)


def _public_origin(request: web.Request) -> str:
    """Return the origin of upload URLs: as configured, else as the request addressed it."""
    if configured := request.app[EDGE].public_url:
        return configured
    host = request.headers.get("Host", "")
    if not _HOST.fullmatch(host):
        if request.transport is None:
            raise ConnectionResetError("the client is gone")
        address, port = request.transport.get_extra_info("sockname")[:2]
        host = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return f"{request.scheme}://{host}"


def _new_secret() -> _StoredSecret:
    return _StoredSecret(secrets.token_bytes(SECRET_BYTES))


def _bytes(text: str) -> bytes:
    # Text from a URL may hold lone surrogates; it is refused like any other.
    return text.encode("utf-8", "surrogatepass")
