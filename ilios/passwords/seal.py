"""Sealing of passwords: XChaCha20-Poly1305, bound to one document of one tenant.

A sealed password is a header, a random nonce of 192 bits, and the ciphertext with its tag. The
header names the key, so that there can be several. The plaintext has always the same length.
"""

import hashlib

from nacl.exceptions import CryptoError
from nacl.secret import Aead

MAX_PASSWORD_BYTES = 1022
SEALED_BYTES = 12 + Aead.NONCE_SIZE + 2 + MAX_PASSWORD_BYTES + Aead.MACBYTES

_MAGIC = b"IPW1"
_KEY_ID_BYTES = 8
_PURPOSE = "ilios password"
_LENGTH_BYTES = 2


class CannotUnseal(Exception):
    """A sealed password cannot be opened; the message is a clause for the document's owner."""


class Seal:
    """Seals and opens with one key, whose ``fingerprint`` hosts compare: it is no secret."""

    def __init__(self, key: bytes) -> None:
        self._box = Aead(key)
        key_id = hashlib.sha256(b"ilios seal key id\n" + key).digest()[:_KEY_ID_BYTES]
        self._header = _MAGIC + key_id
        self.fingerprint = key_id.hex()

    def __repr__(self) -> str:
        return "Seal(***)"

    def seal(self, tenant: str, document_id: str, password: str) -> bytes:
        """Return a sealed password of at most ``MAX_PASSWORD_BYTES`` in UTF-8."""
        encoded = password.encode()
        plain = len(encoded).to_bytes(_LENGTH_BYTES, "big") + encoded.ljust(
            MAX_PASSWORD_BYTES, b"\0"
        )
        return self._header + self._box.encrypt(plain, self._bound_to(tenant, document_id))

    def unseal(self, tenant: str, document_id: str, sealed: bytes) -> str:
        """Return the password.

        :raises CannotUnseal: it was sealed with another key or for another document, or changed.
        """
        if len(sealed) != SEALED_BYTES or not sealed.startswith(_MAGIC):
            raise CannotUnseal("what is stored of its password is damaged")
        header, box = sealed[: len(self._header)], sealed[len(self._header) :]
        if header != self._header:
            raise CannotUnseal("its password was sealed with a key that is no longer here")
        try:
            plain = self._box.decrypt(box, self._bound_to(tenant, document_id))
        except CryptoError:
            raise CannotUnseal("what is stored of its password is damaged") from None
        length = int.from_bytes(plain[:_LENGTH_BYTES], "big")
        return plain[_LENGTH_BYTES : _LENGTH_BYTES + length].decode()

    def _bound_to(self, tenant: str, document_id: str) -> bytes:
        """Return the associated data; neither part has a line break."""
        return self._header + f"\n{_PURPOSE}\n{tenant}\n{document_id}".encode()
