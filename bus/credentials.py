"""Credentials of NATS in files: user credentials (a JWT and its seed) and seeds of nkeys.

Format of the keys: NATS ADR-14 (base32 of prefix, Ed25519 seed and CRC-16).
"""

import base64
import binascii
import re
from pathlib import Path

from msgspec import Struct

MAX_BYTES = 64 * 1024  # of a file; real ones have a few KB

_SEED_PREFIX, _USER_PREFIX = 18 << 3, 20 << 3  # they show as S and U in base32
_SEED_LENGTH = 36  # bytes: two of prefixes, the seed, two of the checksum
_PART = r"-+BEGIN {}-+\s+(\S+)\s+-+END {}-+"
_JWT = re.compile(_PART.format("NATS USER JWT", "NATS USER JWT"))
_SEED = re.compile(_PART.format("USER NKEY SEED", "USER NKEY SEED"))


class UserKey:
    """The key pair of a user, which signs the challenge of a server."""

    def __init__(self, seed: bytes) -> None:
        from nacl.signing import SigningKey  # noqa: PLC0415  few need it, and it loads slowly

        self._key = SigningKey(seed)

    @property
    def public(self) -> str:
        """The public key in the form of the server."""
        body = bytes([_USER_PREFIX]) + self._key.verify_key.encode()
        return key_text(body)

    def sign(self, nonce: str) -> bytes:
        """Return the signature of a challenge in base64."""
        return base64.b64encode(self._key.sign(nonce.encode()).signature)


class UserCredentials(Struct, frozen=True):
    """A user by a JWT of its account."""

    jwt: str
    key: UserKey

    def __repr__(self) -> str:
        return "UserCredentials(***)"


def read_credentials(path: str) -> UserCredentials:
    """Read a file of user credentials, as ``nsc generate creds`` writes it.

    :raises ValueError: it cannot be read or has no such credentials; nothing of it is repeated.
    """
    text = _read(path)
    jwt, seed = _JWT.search(text), _SEED.search(text)
    if jwt is None or seed is None:
        raise ValueError(f"{path} has no user credentials: a NATS USER JWT and its USER NKEY SEED")
    return UserCredentials(jwt[1], _user_key(seed[1], path))


def read_seed(path: str) -> UserKey:
    """Read the seed of the nkey of a user, as ``nk -gen user`` writes it.

    :raises ValueError: as ``read_credentials``.
    """
    return _user_key(_read(path).strip(), path)


def _read(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path} has more than {MAX_BYTES} bytes")
    return content.decode(errors="replace")


def _user_key(seed: str, path: str) -> UserKey:
    try:
        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    except (ValueError, binascii.Error):  # its message may quote the seed
        raw = b""
    kind = (raw[0] & 0b11111000, (raw[0] & 0b111) << 5 | raw[1] >> 3) if len(raw) > 1 else None
    well_formed = len(raw) == _SEED_LENGTH and _crc(raw[:-2]) == raw[-2:]
    if not well_formed or kind != (_SEED_PREFIX, _USER_PREFIX):
        raise ValueError(f"{path} has no seed of the nkey of a user (it begins with SU)")
    return UserKey(raw[2:-2])


def key_text(body: bytes) -> str:
    """Return a key with its prefix in the form of the server."""
    return base64.b32encode(body + _crc(body)).decode().rstrip("=")


def _crc(body: bytes) -> bytes:
    """Return the CRC-16/XMODEM of a body, the low byte first."""
    return binascii.crc_hqx(body, 0).to_bytes(2, "little")
