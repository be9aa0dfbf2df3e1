"""Limits of the local engine: processes, time, memory, pages, output."""

import os

from msgspec import Struct, field

from ilios.engines.sandbox.enter import SandboxMode

MIB = 1024 * 1024
GIB = 1024 * MIB

MEMORY_BYTES = 2 * GIB
CPU_SECONDS = 300
WALL_SECONDS = 300.0
PAGE_SECONDS = 45.0
PER_PAGE = 3.0
MAX_PAGES = 5_000
MAX_OUTPUT_BYTES = 64 * MIB
MAX_PIXELS = 100_000_000
RECYCLE_AFTER_DOCUMENTS = 200
RECYCLE_ABOVE_BYTES = GIB


def _cores() -> int:
    return os.cpu_count() or 1


class EngineLimits(Struct, frozen=True, kw_only=True):
    """Limits of the local engine, each for one child process or for one document.

    :raises ValueError: a limit is not positive.
    """

    processes: int = field(default_factory=_cores)
    """Concurrent children. Each works on one document with one thread."""

    memory_bytes: int = MEMORY_BYTES
    """Resident memory of a child at work. Recognition needs up to 0.7 GiB.

    The kernel enforces it only roughly (see ``confinement.RESERVE_BYTES``), the child itself
    within ``confinement.WATCH_EVERY``.
    """

    cpu_seconds: int = CPU_SECONDS
    """CPU time of one range of pages."""

    wall_seconds: float = WALL_SECONDS
    """Time of one range of pages with its child; waiting for a child does not count. Most documents
    have one range."""

    budget_seconds_per_page: float = PER_PAGE
    """Time of a document of several ranges, in addition to ``wall_seconds``, for each page."""

    page_seconds: float = PAGE_SECONDS
    """Time between two progress messages: a page, a slide, a paragraph."""

    max_pages: int = MAX_PAGES
    """Pages converted of one document."""

    max_output_bytes: int = MAX_OUTPUT_BYTES
    """Markdown of one document in bytes of UTF-8."""

    max_pixels: int = MAX_PIXELS
    """Size limit of an image, width times height."""

    recycle_after_documents: int = RECYCLE_AFTER_DOCUMENTS
    """A child is replaced after so many documents, because libraries leak memory."""

    recycle_above_bytes: int = RECYCLE_ABOVE_BYTES
    """A child with more resident memory after a document is replaced."""

    sandbox: SandboxMode = "auto"
    """Whether children run in a sandbox."""

    heif: str = "auto"
    """The decoder of HEIC images: ``auto`` (libheif where it is installed), ``off``, or a path."""

    libreoffice: str = "auto"
    """LibreOffice, which reads DOC, XLS and PPT: ``auto`` (where it is installed), ``off``, or the
    path of its directory ``program``."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name not in ("sandbox", "heif", "libreoffice") and value <= 0:
                raise ValueError(f"EngineLimits.{name} must be positive, not {value}")
