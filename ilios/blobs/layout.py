"""Keys of blobs, their paths in the local store, and listing that store in pages.

A key is one or more segments of ``[a-z0-9._-]`` joined by "/". On disk the "/" is a "+", which no
key contains, so two keys never share a file and no key leaves its shard.

A listing goes shard by shard, and by key within each. Its position is the shard and the last key
seen there, so that blob may be gone. Listing blocks and runs in the threads of the store.
"""

import hashlib
import heapq
import os
import re
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Self

from msgspec import Struct

from actors.ports import StoredBlob

SHARDS = tuple(f"{number:02x}" for number in range(256))
TMP_DIR = "tmp"
MAX_KEY_LENGTH = 200

_SEGMENT = r"[a-z0-9_-][a-z0-9._-]*"
_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")


def is_key(key: str) -> bool:
    """Whether this is a valid key."""
    # fullmatch, because match with "$" lets a trailing newline through.
    return len(key) <= MAX_KEY_LENGTH and ".." not in key and _KEY.fullmatch(key) is not None


def validate_key(key: str) -> str:
    """Return the key.

    :raises ValueError: it is invalid.
    """
    if not is_key(key):
        message = f"not a blob key: {key!r}"
        raise ValueError(message)
    return key


def blob_path(root: str, key: str) -> str:
    """Return the path of the blob with this key.

    :raises ValueError: the key is invalid.
    """
    shard = hashlib.sha256(validate_key(key).encode()).hexdigest()[:2]
    return f"{root}/{shard}/{key.replace('/', '+')}"


def key_from_file_name(name: str) -> str:
    """Return the key that a file name stands for; it may be invalid."""
    return name.replace("+", "/")


class Position(Struct, frozen=True):
    """A position in a listing: before it are all earlier shards, and keys up to ``after``."""

    shard: int
    after: str = ""

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Parse ``str`` of a position; None is the beginning.

        :raises ValueError: the text is not a position.
        """
        if text is None:
            return cls(0)
        shard, slash, after = text.partition("/")
        if not slash or shard not in SHARDS:
            message = f"not a position in this store: {text!r}"
            raise ValueError(message)
        return cls(SHARDS.index(shard), after)

    def __str__(self) -> str:
        return f"{SHARDS[self.shard]}/{self.after}"


def list_shard(
    root: str, prefix: str, position: Position, limit: int
) -> tuple[list[StoredBlob], Position | None]:
    """Return at most ``limit`` blobs of one shard, and the next position; None is the end.

    Memory grows with ``limit``, not with the shard.
    """
    shard = f"{root}/{SHARDS[position.shard]}"
    # The smallest, not the first: the order of a directory changes with its content.
    keys = heapq.nsmallest(limit, _keys(shard, prefix, position.after))
    found = [blob for key in keys if (blob := _stored(root, shard, key)) is not None]
    if len(keys) == limit:
        return found, Position(position.shard, keys[-1])
    if position.shard + 1 == len(SHARDS):
        return found, None
    return found, Position(position.shard + 1)


def _keys(shard: str, prefix: str, after: str) -> Iterator[str]:
    with os.scandir(shard) as entries:
        for entry in entries:
            key = key_from_file_name(entry.name)
            if key > after and key.startswith(prefix):
                yield key


def _stored(root: str, shard: str, key: str) -> StoredBlob | None:
    """Return size and time of a blob; None if it has vanished, or the file is no blob."""
    try:
        path = blob_path(root, key)
        status = os.lstat(path)
    except (ValueError, FileNotFoundError):
        return None
    if os.path.dirname(path) != shard or not stat.S_ISREG(status.st_mode):
        return None
    return StoredBlob(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))
