"""Signs the URLs under which a client may upload without a key, for a while.

What is signed stands in the URL or in the reservation, readable for everybody; only the secret,
which never leaves the data directory, makes the signature. It says who, which document, how many
bytes and until when, and begins with its version: another way to sign is another version.
"""

import hmac
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Self

from msgspec import Meta, Struct

from ilios import secrets_file

SECRET_BYTES = 32
VERSION = "v1"
_PURPOSE = "ilios upload"  # what else may come to be signed with this secret says something else


class SignatureError(Exception):
    """What was asked for is not what was signed, or no longer."""


class BadSignature(SignatureError):
    """This signature was not made here for this upload."""


class SignatureExpired(SignatureError):
    """The signature is genuine and its time is over."""


class _StoredSecret(Struct, frozen=True):
    secret: Annotated[bytes, Meta(min_length=SECRET_BYTES, max_length=SECRET_BYTES)]


class Signer:
    """Signs uploads and knows its signatures again. ``clock`` gives seconds since 1970."""

    def __init__(self, secret: bytes, *, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock

    @classmethod
    def load(cls, path: Path) -> Self:
        """Sign with the secret in ``path``, made at the first start: URLs survive a restart.

        :raises SecretsDamaged: there is no secret in the file.
        """
        kept = secrets_file.load_or_create(path, _StoredSecret, _new_secret)
        return cls(kept.secret)

    def sign(self, tenant: str, document_id: str, size: int, expires_at: int) -> str:
        """Return the signature, in letters that need no quoting in a URL.

        It holds for exactly ``size`` bytes and before ``expires_at``, in seconds since 1970.
        """
        fields = (_PURPOSE, VERSION, tenant, document_id, str(size), str(expires_at))
        # Each with its length, so that no two uploads read the same.
        message = "".join(f"{len(field)}:{field}" for field in fields)
        return f"{VERSION}.{hmac.digest(self._secret, _bytes(message), 'sha256').hex()}"

    def verify(
        self, signature: str, tenant: str, document_id: str, size: int, expires_at: int
    ) -> None:
        """Return if ``signature`` was made for all this and has not expired.

        :raises SignatureForged: it was not made for this.
        :raises SignatureExpired: it was, but ``expires_at`` has come.
        """
        expected = self.sign(tenant, document_id, size, expires_at)
        if not hmac.compare_digest(_bytes(signature), _bytes(expected)):
            raise BadSignature("the signature of this upload URL does not fit it")
        if self._clock() >= expires_at:
            raise SignatureExpired("this upload URL has expired; ask for another one")


def _new_secret() -> _StoredSecret:
    return _StoredSecret(secrets.token_bytes(SECRET_BYTES))


def _bytes(text: str) -> bytes:
    # What a URL brings need not be text that can be encoded; it is to be refused, not to break.
    return text.encode("utf-8", "surrogatepass")
