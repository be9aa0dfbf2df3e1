"""Conversion of a PDF in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import Reading
from ilios.engines.pdf import convert
from schemas.options import RecognitionMode
from schemas.results import PageResult

ConvertPdf = Callable[..., list[PageResult]]


@pytest.fixture
def convert_pdf(tmp_path: Path) -> ConvertPdf:
    """Return a function that converts a PDF to pages."""

    def convert_bytes(data: bytes, recognition: RecognitionMode | None = None) -> list[PageResult]:
        path = tmp_path / "document"
        path.write_bytes(data)
        reading = Reading(recognition=recognition)
        pages = convert.convert(path, EngineLimits(), lambda *_: None, reading)
        return [page.result for page in pages.pages]

    return convert_bytes
