"""Whose documents they are: an API key stands for a tenant, which the bus and the database know."""

import hashlib

_DIGITS = 16  # 64 bits of the key's hash


def tenant_of(key: str) -> str:
    """Return the tenant a key stands for; the key cannot be told from it."""
    return tenant_of_digest(key_digest(key))


def tenant_of_digest(digest: bytes) -> str:
    """Return the tenant of the key whose ``digest_of`` this is."""
    return "k" + digest.hex()[:_DIGITS]


def key_digest(key: str) -> bytes:
    """Return the hash of a key."""
    # Header bytes that are not UTF-8 arrive as surrogates.
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
