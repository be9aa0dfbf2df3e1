"""The settings of a fake: its limits, its latency, and the layout of its pages."""

import msgspec

MODEL_ALIASES = {
    "mistral-ocr-latest": "mistral-ocr-4-1",
    "mistral-ocr-4": "mistral-ocr-4-1",
    "mistral-ocr-4-1": "mistral-ocr-4-1",
    "mistral-ocr-4-0": "mistral-ocr-4-0",
    "mistral-ocr-2512": "mistral-ocr-2512",
    "mistral-ocr-2505": "mistral-ocr-2505",
}
"""The models that can be requested, and which one answers (documentation of 2026-08-21)."""

RETIRED_ON = {"mistral-ocr-2505": "2026-05-31T00:00:00Z"}
"""Announced in a header of each answer, for which the SDK logs a warning."""


class Layout(msgspec.Struct, forbid_unknown_fields=True):
    """What every page shows besides its own text."""

    images: int = 0
    tables: int = 0
    links: int = 0
    header: str = ""
    footer: str = ""


class Rules(msgspec.Struct, forbid_unknown_fields=True):
    """May be changed at any time. The limits are the documented ones, with decimal megabytes."""

    latency: float = 0.0
    """Seconds every OCR call takes."""

    max_concurrent: int = 0
    """OCR calls at one time above which the answer is 429; 0 is no limit."""

    pages_per_minute: int = 0
    """Pages above which the answer is 429; 0 is no limit."""

    calls_per_minute: int = 0
    """OCR calls above which the answer is 429; 0 is no limit."""

    minute: float = 60.0
    """Seconds of the minute of these two limits."""

    retry_after: float | None = None
    """The Retry-After of a 429 for one of these limits; None for no header."""

    page_budget: int = 0
    """Pages after which the budget is used up, and the answer is 402; 0 is no limit."""

    batch_seconds: float | None = None
    """How long a batch job takes; None until a test advances it."""

    looks_inside: bool = True
    """Whether documents are opened. If not, any bytes are one page."""

    document_bytes: int = 50_000_000
    document_pages: int = 1_000
    file_bytes: int = 512_000_000
    inline_requests: int = 10_000
    layout: Layout = msgspec.field(default_factory=Layout)
