"""Pages as the native parser takes them apart: text, drawings, annotations, form fields."""

import os
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from liteparse import LiteParse
from liteparse.types import ParsedPage
from msgspec import Struct

BATCH_PAGES = 64
"""Pages that are parsed and laid out at once: one takes up to 2 MB of memory."""

XFA_FULL = 2
"""PDFium's type of a form whose content is XML that only some viewers show."""


class ParsedBatch(Struct, frozen=True):
    """Parsed pages by their index from 0; those that could not be parsed are missing."""

    indices: Sequence[int]
    pages: dict[int, ParsedPage]
    form_type: int = 0


def parse_batches(path: Path, count: int, indices: Sequence[int]) -> Iterator[ParsedBatch]:
    """Parse the selected ones of ``count`` pages, in batches of ``BATCH_PAGES``."""
    with TemporaryDirectory() as folder:
        # The parser goes by the file name's extension, and a blob's name has none.
        named = Path(folder, "document.pdf")
        os.symlink(path, named)
        for start in range(0, len(indices), BATCH_PAGES):
            batch = indices[start : start + BATCH_PAGES]
            result = _parse(named, None if len(batch) == count else batch)
            yield ParsedBatch(
                batch,
                {page.page_num - 1: page for page in result.pages} if result else {},
                (result.form_type or 0) if result else 0,
            )


def _parse(path: Path, indices: Sequence[int] | None) -> Any:
    parser = LiteParse(
        ocr_enabled=False,
        output_format="json",
        image_mode="off",
        extract_text_metadata=True,
        extract_vector_graphics=True,
        extract_annotations=True,
        extract_form_fields=True,
        continue_on_page_error=True,
        num_workers=1,
        quiet=True,
        max_pages=BATCH_PAGES,
        target_pages=",".join(str(index + 1) for index in indices) if indices else None,
    )
    try:
        return parser.parse(path)
    except (MemoryError, SystemExit, KeyboardInterrupt):
        raise
    # Broad, because a panic of the native parser is a BaseException; the cause goes to stderr.
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        return None
