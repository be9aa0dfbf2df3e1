"""What a test can set about the fake: its limits, its pace, and what its pages look like."""

import msgspec

MODEL_ALIASES = {
    "mistral-ocr-latest": "mistral-ocr-4-1",
    "mistral-ocr-4": "mistral-ocr-4-1",
    "mistral-ocr-4-1": "mistral-ocr-4-1",
    "mistral-ocr-4-0": "mistral-ocr-4-0",
    "mistral-ocr-2512": "mistral-ocr-2512",
    "mistral-ocr-2505": "mistral-ocr-2505",
}
"""What may be asked for, and which model then answers (the documentation as of 2026-08-21)."""

RETIRED_ON = {"mistral-ocr-2505": "2026-05-31T00:00:00Z"}
"""Announced in a header of each answer, upon which the SDK writes a warning into the log."""


class Layout(msgspec.Struct, forbid_unknown_fields=True):
    """What every page shows besides its own text; nothing, unless a test asks for it."""

    images: int = 0
    tables: int = 0
    links: int = 0
    header: str = ""
    footer: str = ""


class Rules(msgspec.Struct, forbid_unknown_fields=True):
    """May be changed at any time; ``POST /_fake/rules`` changes the fields it names.

    The limits are the documented ones. Megabytes are read as decimal ones, the smaller of the two
    readings: who keeps this one keeps both.
    """

    latency: float = 0.0
    """Seconds every OCR call takes."""

    max_concurrent: int = 0
    """OCR calls at one time above which a 429 is said; 0 is no limit."""

    pages_per_minute: int = 0
    """Pages above which a 429 is said; 0 is no limit."""

    calls_per_minute: int = 0
    """OCR calls above which a 429 is said; 0 is no limit."""

    minute: float = 60.0
    """Seconds of the minute of these two limits."""

    retry_after: float | None = None
    """The seconds that a 429 for one of these limits says to wait; None says nothing."""

    page_budget: int = 0
    """Pages after which the money is used up, and a 402 is said; 0 is no limit."""

    batch_seconds: float | None = None
    """How long a batch job takes; None waits for the orders of a test."""

    share_uploads: bool = False
    """Whether an upload of bytes that are there already gets the id of the file that is there.

    Users of the real API report that it does; then the first who deletes it deletes it for all.
    """

    looks_inside: bool = True
    """Whether documents are opened. If not, each is one page, and whatever it is will do."""

    document_bytes: int = 50_000_000
    document_pages: int = 1_000
    file_bytes: int = 512_000_000
    inline_requests: int = 10_000
    layout: Layout = msgspec.field(default_factory=Layout)
