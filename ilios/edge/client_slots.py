"""Slots for clients that wait for something: one of several tenants may have half of them."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class ClientSlots:
    """How many more clients may wait, of all tenants and of each."""

    def __init__(self, limit: int, *, multi_tenant: bool) -> None:
        self._free = limit
        self._tenant_limit = max(1, limit // 2) if multi_tenant else limit
        self._taken: Counter[str] = Counter()

    @contextmanager
    def slot(self, tenant: str) -> Iterator[bool]:
        """Take a slot while the context is open; False if there is none."""
        if self._free == 0 or self._taken[tenant] >= self._tenant_limit:
            yield False
            return
        self._free -= 1
        self._taken[tenant] += 1
        try:
            yield True
        finally:
            self._free += 1
            self._taken[tenant] -= 1
            if not self._taken[tenant]:
                del self._taken[tenant]
