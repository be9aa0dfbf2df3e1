"""Opening files of SQLite, which SQLCipher encrypts once the process has a key.

The key is a fact of the process, as its data directory is: snapshots, copies and rebuilt databases
have the same one, wherever they are opened.
"""

import hashlib
import re
import sqlite3
from functools import cache
from pathlib import Path

from ilios.secret import Secret

HEADER = b"SQLite format 3\0"
"""The first bytes of a database that is not encrypted (sqlite.org/fileformat2.html)."""

_PAGE_BYTES = 4096
_RANDOM_VALUES = 240  # of 256 byte values; all of them occur in an encrypted page, few in others
_HEX_KEY = re.compile("[0-9a-fA-F]{64}")
# Not a random one: a snapshot must open with the passphrase alone, on any machine.
_SALT = b"ilios database key 1"
_SCRYPT_COST, _SCRYPT_MEMORY = 2**15, 64 * 1024**2

_key: str | None = None


def use_key(secret: Secret | None) -> None:
    """Encrypt every database that this process opens from now on; None: encrypt none."""
    global _key  # noqa: PLW0603  # as the docstring of the module explains
    _key = None if secret is None else raw_key(secret)


def has_key() -> bool:
    """Whether the databases of this process are encrypted."""
    return _key is not None


@cache
def raw_key(secret: Secret) -> str:
    """Return the key of 256 bits, in hexadecimal digits, that a text stands for.

    64 hexadecimal digits are the key itself. Anything else is stretched, once for a process:
    SQLCipher would do it for every connection.
    """
    text = secret.get_secret_value()
    if _HEX_KEY.fullmatch(text):
        return text.lower()
    return hashlib.scrypt(
        text.encode(), salt=_SALT, n=_SCRYPT_COST, r=8, p=1, maxmem=_SCRYPT_MEMORY, dklen=32
    ).hex()


def open_sqlite(database: str | Path, *, timeout: float = 5.0) -> sqlite3.Connection:
    """Open a path or a ``file:`` URI with the key of this process, without implicit transactions.

    Errors are those of ``sqlite3``, with a key as well.
    """
    if _key is None:
        uri = str(database).startswith("file:")
        return sqlite3.connect(database, uri=uri, isolation_level=None, timeout=timeout)
    from ilios.database import sqlcipher  # noqa: PLC0415  7 MB

    return sqlcipher.connect(database, _key, timeout=timeout)


def attach(connection: sqlite3.Connection, uri: str, name: str) -> None:
    """Attach a file to a connection of ``open_sqlite``, under a name that is a constant."""
    # Without the key of its own, SQLCipher would use that of the first file with its salt.
    key = "" if _key is None else f" KEY \"x'{_key}'\""
    connection.execute(f"ATTACH :file AS {name}{key}", {"file": uri})


def is_plain(path: Path) -> bool:
    """Whether a file is a database that is not encrypted."""
    return _beginning(path, len(HEADER)) == HEADER


def looks_encrypted(path: Path) -> bool:
    """Whether the first page of a file looks random, as one of SQLCipher does.

    A damaged page of a plain database does not: most of it is text and zeros.
    """
    page = _beginning(path, _PAGE_BYTES)
    return len(page) == _PAGE_BYTES and len(set(page)) >= _RANDOM_VALUES


def _beginning(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""  # it is missing, or refused with the reason when it is opened
