"""Admission of long documents, so that short ones never wait for all of them."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from actors.engines import Postponed, SourceFile

RETRY_AFTER = 15.0
"""Seconds until a postponed document is tried again."""


class LongDocuments:
    """At most ``most`` documents of which several ranges are converted, None for any number.

    Urgent ones are counted apart. A tenant has at most half of them: the others go on with the
    first range of each document, and are postponed then.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._admitted: Counter[bool] = Counter()
        self._by_tenant: Counter[tuple[str, bool]] = Counter()

    @contextmanager
    def admitted(self, document: SourceFile) -> Iterator[None]:
        """Count a long document while its further ranges are converted.

        :raises Postponed: there are too many.
        """
        urgent, name = document.urgent, (document.tenant, document.urgent)
        if self._most is not None and (
            self._admitted[urgent] >= self._most or self._by_tenant[name] >= max(1, self._most // 2)
        ):
            raise Postponed("other long documents go first", retry_after=RETRY_AFTER)
        self._admitted[urgent] += 1
        self._by_tenant[name] += 1
        try:
            yield
        finally:
            self._admitted[urgent] -= 1
            self._by_tenant[name] -= 1
            if not self._by_tenant[name]:
                del self._by_tenant[name]
