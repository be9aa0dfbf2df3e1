"""Admission of long documents, so that short ones never wait for all of them."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from actors.engines import Postponed, SourceFile

RETRY_AFTER = 15.0
"""Seconds until a postponed document is tried again."""

URGENT_EXTRA = 2
"""Urgent long documents beyond the limits: ordinary ones take many minutes."""


class LongDocuments:
    """At most ``most`` documents of which further ranges are converted, None for any number.

    A tenant has at most ``per_tenant`` of them. Of the others only the first range is converted.
    """

    def __init__(self, most: int | None = None, per_tenant: int = 1) -> None:
        self._most = most
        self._per_tenant = per_tenant
        self._admitted: Counter[str] = Counter()  # by tenant

    @contextmanager
    def admitted(self, document: SourceFile) -> Iterator[None]:
        """Count a long document while its further ranges are converted.

        :raises Postponed: there are too many.
        """
        tenant = document.tenant
        beyond = URGENT_EXTRA if document.urgent else 0
        if self._most is not None and (
            self._admitted.total() >= self._most + beyond
            or self._admitted[tenant] >= self._per_tenant + beyond
        ):
            raise Postponed("other long documents go first", retry_after=RETRY_AFTER)
        self._admitted[tenant] += 1
        try:
            yield
        finally:
            self._admitted[tenant] -= 1
            if not self._admitted[tenant]:
                del self._admitted[tenant]
