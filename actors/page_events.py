"""Events about the pages of a conversion, as its engine reports them."""

import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from actors.engines import PageListener
from schemas.documents import DocumentFetched
from schemas.pages import PageConverted
from schemas.results import PageResult

EVENT_INTERVAL = 0.25
"""Seconds between two events of a document, except for its last page: fast pages share one."""

TakeDrafts = Callable[[str, str, Sequence[PageResult]], None]
"""Called with a tenant, the id of its document, and drafts of pages."""

Publish = Callable[[PageConverted], None]


class PagePorts(Struct, frozen=True):
    """Where pages go: ``publish`` has their events, the others their drafts until the end."""

    publish: Publish
    put_drafts: TakeDrafts
    discard_drafts: Callable[[str, str], None]


NO_PORTS = PagePorts(lambda _: None, lambda *_: None, lambda *_: None)
"""Drops everything."""


class PageEvents(PageListener):
    """Publishes what an engine reports of one conversion."""

    def __init__(
        self,
        document: DocumentFetched,
        ports: PagePorts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._document = document
        self._ports = ports
        self._counts = (0, 0)
        self._has_begun = False
        self._drafted = 0
        self._clock = clock
        self._began = self._published_at = clock()
        self._completed = (0, 0)

    def __call__(self, done: int, total: int) -> None:
        """Publish an event about the last page, and about others where the last event is old."""
        now = self._clock()
        if not (self._has_begun or done):
            self._began = now  # it has waited for a free process
        self._has_begun = True
        done = max(done, min(self._drafted, total))
        self._counts = (done, total)
        if 0 < total <= done:
            if self._completed == self._counts:
                return
            self._completed = self._counts
        elif now - self._published_at < EVENT_INTERVAL:
            return
        else:
            self._completed = (0, 0)  # another engine, or another attempt
        self._publish(now)

    def drafted(self, pages: Sequence[PageResult]) -> None:
        """Hand drafts on; the first ones have an event at once, so that they are read."""
        document = self._document
        self._ports.put_drafts(document.tenant, document.document_id, pages)
        if not self._drafted:
            self._drafted = len(pages)
            done, total = self._counts
            self._counts = max(done, self._drafted), total
            self._publish(self._clock())

    def _publish(self, now: float) -> None:
        self._published_at = now
        done, total = self._counts
        self._ports.publish(
            PageConverted(
                document_id=self._document.document_id,
                tenant=self._document.tenant,
                page=done,
                of=total,
                engine=self.engine,
                seconds=round(now - self._began, 3),
            )
        )
