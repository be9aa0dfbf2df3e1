"""Documents that requests wait for, by HTTP and on the bus."""

from collections.abc import Iterator
from contextlib import contextmanager

Ref = tuple[str, str]
"""The tenant and the id of a document."""


class Waited:
    """One of them: how many requests wait for it, and what they were promised."""

    def __init__(self) -> None:
        self.requests = 0
        self.made_here = False
        self.goes_on = False
        self.hung_up = False


class WaitedDocuments:
    """The documents that requests of one edge wait for."""

    def __init__(self) -> None:
        self._waited: dict[Ref, Waited] = {}

    def __contains__(self, ref: Ref) -> bool:
        return ref in self._waited

    def enter(self, ref: Ref) -> Waited:
        """Count a request."""
        waited = self._waited.setdefault(ref, Waited())
        waited.requests += 1
        return waited

    def leave(self, ref: Ref) -> bool:
        """Count it no longer; return whether it was the last one."""
        waited = self._waited[ref]
        waited.requests -= 1
        if waited.requests:
            return False
        del self._waited[ref]
        return True

    @contextmanager
    def waiting(self, ref: Ref) -> Iterator[Waited]:
        """Count a request that never cancels its document while the context is open."""
        waited = self.enter(ref)
        try:
            yield waited
        finally:
            self.leave(ref)
