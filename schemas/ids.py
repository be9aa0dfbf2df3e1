"""Ids and tenant names that are safe in a subject, a path and a URL."""

import re
import secrets
import time

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_TIME_DIGITS = 9  # base 36 milliseconds: sorts by time until the year 5188
_RANDOM_DIGITS = 15  # 77 random bits
_ID = re.compile(r"[a-z0-9]{20,30}")
_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")

DEFAULT_TENANT = "default"


def new_id() -> str:
    """Return a new id: 24 characters of ``[a-z0-9]``, later ids sort after earlier ones."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbelow(36**_RANDOM_DIGITS)
    return _base36(milliseconds, _TIME_DIGITS) + _base36(random, _RANDOM_DIGITS)


def id_from_digest(digest: bytes) -> str:
    """Return the id derived from a digest: 24 characters of ``[a-z0-9]``."""
    length = _TIME_DIGITS + _RANDOM_DIGITS
    return _base36(int.from_bytes(digest) % 36**length, length)


def _base36(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 36)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def is_id(text: str) -> bool:
    """Whether ``text`` can be the id of a document or a batch: 20-30 characters of ``[a-z0-9]``."""
    # fullmatch, because match with "$" lets a trailing newline through.
    return _ID.fullmatch(text) is not None


def is_tenant(text: str) -> bool:
    """Whether ``text`` can name a tenant: one subject token of ``[a-z0-9_-]``, 1-32 characters."""
    return _TENANT.fullmatch(text) is not None
