"""Locks of one process by key."""

import asyncio
from weakref import WeakValueDictionary


class KeyedLock:
    """Locks by what they are for, such as an upload: work on the same is done one after another."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, ...], asyncio.Lock] = WeakValueDictionary()

    def lock(self, *key: str) -> asyncio.Lock:
        """Return the lock of one key; it exists while somebody holds or awaits it."""
        return self._locks.setdefault(key, asyncio.Lock())
