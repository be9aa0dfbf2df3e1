"""Walks the local store in portions: shard by shard, and by key within each.

A position is the shard and the last key looked at there, so it needs no blob to be still there.
Everything here but ``Walk`` blocks and runs in the store's threads.
"""

import heapq
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Self

from msgspec import Struct

from actors.ports import StoredBlob
from ilios.blobs.layout import SHARDS, blob_path, key_from_file_name


class Position(Struct, frozen=True):
    """Everything before ``after`` in this shard, and all shards before it, have been looked at."""

    shard: int
    after: str = ""

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read what ``str`` of a position wrote; None is the beginning.

        :raises ValueError: this is no position.
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
    """Look at one shard: return at most ``limit`` of its blobs, and where to go on.

    None is the end of the store. Memory grows with ``limit``, not with the shard.
    """
    shard = f"{root}/{SHARDS[position.shard]}"
    # The smallest, not the first: a directory gives its names in an order that changes with them.
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
    """Return what is known of the blob; None when it has vanished or is not one of ours."""
    try:
        path = blob_path(root, key)
        status = os.lstat(path)
    except (ValueError, FileNotFoundError):
        return None
    if os.path.dirname(path) != shard or not stat.S_ISREG(status.st_mode):
        return None
    return StoredBlob(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))
