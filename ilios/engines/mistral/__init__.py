"""Mistral's OCR as an engine: limits of the API (as of August 2026) and of our use of it.

The settings import this module. All others of the package import the SDK, which takes a second.
"""

from msgspec import Struct

from actors.content_types import (
    AVIF,
    BMP,
    DOCX,
    GIF,
    HEIC,
    JPEG,
    JPEG_2000,
    PDF,
    PNG,
    PPTX,
    TIFF,
    WEBP,
)

MODEL = "mistral-ocr-latest"
MAX_CONCURRENT_CALLS = 32
CALL_SECONDS = 300.0
RETRY_SECONDS = 600.0

CONTENT_TYPES = frozenset({PDF, DOCX, PPTX, PNG, JPEG, GIF, WEBP, TIFF, BMP, AVIF, HEIC, JPEG_2000})
"""Types of documents that are sent; those of which the API's answer is known."""

DOCUMENT_BYTES = 50_000_000
"""Size limit of a document: 50 MB, taken as decimal megabytes."""
DOCUMENT_PAGES = 1_000
RANGE_PAGES = 50
"""Pages of one call: the most a crash may cost, and an answer with images holds in memory."""
INLINE_BYTES = 1024 * 1024
"""Larger documents are uploaded: their base64 and JSON would block the event loop."""
COUNTED_ABOVE_BYTES = 128 * 1024
"""Pages of larger PDFs are counted before they are sent."""
MAX_CONCURRENT_CUTS = 4
"""Documents read in pieces at a time: each has one piece in memory, up to 50 MB."""


class MistralLimits(Struct, frozen=True, kw_only=True):
    """Limits of this process. Times are in seconds."""

    model: str = MODEL
    """Model for documents that name none."""

    max_concurrent_calls: int = MAX_CONCURRENT_CALLS
    """Concurrent calls."""

    pages_per_minute: int = 0
    """Pages requested in a minute; 0 is no limit but the API's own."""

    call_timeout: float = CALL_SECONDS
    """Time of one call."""

    retry_pause: float = 0.5
    """First pause between attempts at one call; each further one is twice as long."""

    retry_timeout: float = RETRY_SECONDS
    """Time of all attempts at one call, with pauses; after that the document waits."""

    images: bool = True
    """Whether images on pages are requested and stored."""
