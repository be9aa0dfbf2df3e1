"""Events about the pages of a conversion, as its engine reports them."""

import time
from collections.abc import Callable, Sequence

from actors.engines import PageListener
from schemas.documents import DocumentFetched
from schemas.pages import PageConverted
from schemas.results import PageResult

EVENT_INTERVAL = 0.25
"""Seconds between two events of a document, except for its last page: fast pages share one."""

Publish = Callable[[PageConverted], None]


def publish_nothing(_event: PageConverted) -> None:
    """Drop an event."""


class PageEvents(PageListener):
    """Publishes what an engine reports of one conversion."""

    def __init__(
        self,
        document: DocumentFetched,
        publish: Publish,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._document = document
        self._publish = publish
        self._clock = clock
        self._began = self._published_at = clock()
        self._is_complete = False

    def __call__(self, done: int, total: int) -> None:
        """Publish an event about the last page, and about others where the last event is old."""
        now = self._clock()
        if 0 < total <= done:
            if self._is_complete:
                return
            self._is_complete = True
        elif now - self._published_at < EVENT_INTERVAL:
            return
        else:
            self._is_complete = False  # another engine, or another attempt
        self._published_at = now
        self._publish(
            PageConverted(
                document_id=self._document.document_id,
                tenant=self._document.tenant,
                page=done,
                of=total,
                engine=self.engine,
                seconds=round(now - self._began, 3),
            )
        )

    def drafted(self, pages: Sequence[PageResult]) -> None:
        """Do nothing with drafts."""
