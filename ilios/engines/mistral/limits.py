"""How the API is to be used, and what it takes (its documentation as of August 2026)."""

from msgspec import Struct

MODEL = "mistral-ocr-latest"
MAX_CONCURRENT_CALLS = 32
CALL_SECONDS = 300.0
RETRY_SECONDS = 600.0

DOCUMENT_BYTES = 50_000_000
"""Most one document may have; read as decimal megabytes, the smaller of the two readings."""
DOCUMENT_PAGES = 1_000
RANGE_PAGES = 50
"""Pages read in one call: what a crash may cost, and what an answer with images holds."""
INLINE_BYTES = 1024 * 1024
"""Larger documents are uploaded first: base64 and JSON of them would hold the event loop up."""
COUNTED_ABOVE_BYTES = 128 * 1024
"""PDFs above are looked at before they are sent, to know how many pages they have."""


MAX_CONCURRENT_CUTS = 4
"""Documents that are read in pieces cut out of them: each holds one in memory, up to 50 MB."""


class MistralLimits(Struct, frozen=True, kw_only=True):
    """What the engine may take of the API, in this process. Times are seconds."""

    model: str = MODEL
    """Used where a document does not name one."""

    max_concurrent_calls: int = MAX_CONCURRENT_CALLS
    """Calls under way at one time."""

    pages_per_minute: int = 0
    """Pages begun in a minute; 0 leaves it to the API's own answers."""

    call_timeout: float = CALL_SECONDS
    """One call, from its first to its last byte."""

    retry_timeout: float = RETRY_SECONDS
    """The attempts at one range of pages, with their pauses; then the document waits."""

    images: bool = True
    """Whether the images on the pages are asked for and kept."""
