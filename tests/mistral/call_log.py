"""The calls of a fake, and what would have been paid for.

A page counts as paid when its answer was produced with status 200, also when the client had gone by
then or a fault cut the answer short: the real API has done the work. (That is the cautious reading;
its documentation leaves it open.)
"""

from collections import Counter, deque
from collections.abc import Iterable
from typing import Literal

import msgspec

MAX_RECORDED_CALLS = 50_000
"""The oldest calls beyond these are dropped; the counts go on."""

Transport = Literal["document_url", "image_url", "file", "signed_url", "batch", ""]


class Call(msgspec.Struct):
    """One OCR call, refused ones included."""

    number: int
    how: Transport = ""
    """How the document was sent; for a request of a batch job always ``batch``."""
    document: str = ""
    """The hash of the exact bytes of the document, shortened; empty when none was found."""
    size: int = 0
    model: str = ""
    selection: list[int] | str | None = None
    """The pages as requested."""
    pages: list[int] = []
    """The pages that were processed, counted from 0."""
    fault: str = ""
    status: int = 0
    """The status the answer had; 0 when there was none."""
    paid: bool = False
    answered_in_full: bool = False
    client_gone: bool = False
    job: str = ""
    seconds: float = 0.0


class CallLog:
    """All calls, and sums over them."""

    def __init__(self) -> None:
        self.calls: deque[Call] = deque(maxlen=MAX_RECORDED_CALLS)
        self.requests: Counter[str] = Counter()
        """Requests of each endpoint."""
        self.calls_by_document: Counter[str] = Counter()
        """Calls of each document, also those that were refused."""
        self.paid_calls: Counter[str] = Counter()
        """Calls of each document that were paid for."""
        self.paid_pages: Counter[tuple[str, int]] = Counter()
        """How often each page of each document was paid for."""
        self.paid_texts: Counter[str] = Counter()
        """How often a page with this text was paid for, in any document (``page_key``)."""
        self.faults: Counter[tuple[str, str, bool]] = Counter()
        """Requests of an endpoint that went wrong in one way; whether the work was done first."""
        self.fault_pages: Counter[tuple[str, str, bool]] = Counter()
        """The pages that were paid for in them."""
        self.in_hand = 0
        self.highest_concurrency = 0
        self._number = 0

    def start_call(self, *, job: str = "") -> Call:
        """Return the record of a call that has just come in."""
        self._number += 1
        call = Call(self._number, job=job, how="batch" if job else "")
        self.calls.append(call)
        return call

    def begin_work(self) -> None:
        """Count one more call in progress."""
        self.in_hand += 1
        self.highest_concurrency = max(self.highest_concurrency, self.in_hand)

    def end_work(self) -> None:
        """Count one call less in progress."""
        self.in_hand -= 1

    def record_fault(self, endpoint: str, kind: str, *, done: bool, pages: int = 0) -> None:
        """Record a fault; ``done`` when the work was done and only its answer was corrupted."""
        self.faults[endpoint, kind, done] += 1
        self.fault_pages[endpoint, kind, done] += pages

    def record_payment(self, call: Call, page_keys: Iterable[str]) -> None:
        """Record that the answer to this call was produced, for pages with these texts."""
        call.paid = True
        self.paid_calls[call.document] += 1
        self.paid_pages.update((call.document, page) for page in call.pages)
        self.paid_texts.update(filter(None, page_keys))

    @property
    def pages_paid(self) -> int:
        """All pages that were paid for, also those paid for again."""
        return self.paid_pages.total()

    def paid_twice(self) -> dict[tuple[str, int], int]:
        """Return the pages that were paid for more than once, and how often."""
        return {page: times for page, times in self.paid_pages.items() if times > 1}
