"""What the fake has seen and what would have been paid for, for tests to read.

A page counts as paid when its answer was produced with status 200. That the client had gone by
then, or that a fault cut the answer short on its way, does not make it free: the real API has done
the work and bills it. (That is the cautious reading; nobody has said what it really does.)
"""

from collections import Counter, deque
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

MAX_RECORDED_CALLS = 50_000
"""Single calls beyond which the oldest are forgotten; the counts go on."""

Transport = Literal["document_url", "image_url", "file", "signed_url", "batch", ""]


class Call(msgspec.Struct):
    """One OCR call, also one that was refused."""

    number: int
    how: Transport = ""
    """How the document came; for a request of a batch job always ``batch``."""
    document: str = ""
    """The hash of the exact bytes of the document, shortened; empty when none was found."""
    size: int = 0
    model: str = ""
    selection: list[int] | str | None = None
    """The pages as they were asked for."""
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
        """How often a page with this on it was paid for, in whatever document (``own_name``)."""
        self.faults: Counter[tuple[str, str, bool]] = Counter()
        """Requests of an endpoint that went wrong in one way; whether the work was done first."""
        self.fault_pages: Counter[tuple[str, str, bool]] = Counter()
        """The pages that were paid for in them."""
        self.in_hand = 0
        self.highest_concurrency = 0
        self._number = 0

    def clear(self) -> None:
        """Forget everything but the calls in hand, which will still come to an end."""
        self.calls.clear()
        for names in (self.requests, self.calls_by_document, self.paid_calls, self.paid_texts):
            names.clear()
        self.paid_pages.clear()
        self.faults.clear()
        self.fault_pages.clear()
        self.highest_concurrency = self.in_hand

    def start_call(self, *, job: str = "") -> Call:
        """Return the record of a call that has just come in."""
        self._number += 1
        call = Call(self._number, job=job, how="batch" if job else "")
        self.calls.append(call)
        return call

    def begin_work(self) -> None:
        """Note that one more call is worked on."""
        self.in_hand += 1
        self.highest_concurrency = max(self.highest_concurrency, self.in_hand)

    def end_work(self) -> None:
        """Note that one call less is worked on."""
        self.in_hand -= 1

    def record_fault(self, endpoint: str, kind: str, *, done: bool, pages: int = 0) -> None:
        """Note a fault; ``done`` when the work was, and only what became of it went wrong."""
        self.faults[endpoint, kind, done] += 1
        self.fault_pages[endpoint, kind, done] += pages

    def record_payment(self, call: Call, page_keys: Iterable[str]) -> None:
        """Note that the answer to this call was produced, for pages with these things on them."""
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

    def calls_of(self, document: str) -> list[Call]:
        """Return the calls of one document, in the order in which they came."""
        return [call for call in self.calls if call.document == document]

    def summary(self, calls: int = MAX_RECORDED_CALLS) -> dict[str, Any]:
        """Return what ``GET /_fake/book`` says of the calls, and as many of the last ones."""
        documents: dict[str, dict[str, Any]] = {
            document: {"calls": calls, "paid_calls": self.paid_calls[document], "paid_pages": {}}
            for document, calls in self.calls_by_document.items()
        }
        for (document, page), times in self.paid_pages.items():
            if document in documents:  # one that was asked for before the book was cleared is not
                documents[document]["paid_pages"][str(page)] = times
        return {
            "requests": dict(self.requests),
            "documents": documents,
            "pages_paid": self.pages_paid,
            "paid_twice": [
                {"document": document, "page": page, "times": times}
                for (document, page), times in self.paid_twice().items()
            ],
            "paid_texts": dict(self.paid_texts),
            "faults": [
                {
                    "endpoint": endpoint,
                    "kind": kind,
                    "done": done,
                    "times": times,
                    "pages_paid": self.fault_pages[endpoint, kind, done],
                }
                for (endpoint, kind, done), times in self.faults.items()
            ],
            "in_hand": self.in_hand,
            "highest_concurrency": self.highest_concurrency,
            "calls": list(self.calls)[max(0, len(self.calls) - calls) :],
        }
