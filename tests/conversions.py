"""Conversion of bytes by the converter of their detected type, without an engine around it."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from actors import sniffing
from ilios.engines.converters import registry
from ilios.engines.local.limits import EngineLimits
from ilios.engines.page_limits import check_pages, fit_pages
from ilios.engines.pages import WHOLE, ConvertedPage, Reading
from schemas.results import PageResult

LIMITS = EngineLimits()


def markdown_pages(indices: Sequence[int], texts: Sequence[str]) -> list[ConvertedPage]:
    """Return pages that have only Markdown."""
    return [
        ConvertedPage(PageResult(index=index, markdown=text))
        for index, text in zip(indices, texts, strict=True)
    ]


def detected(data: bytes) -> str:
    """Return the content type of bytes."""
    kind = sniffing.sniff(data[: sniffing.SNIFF_LENGTH], data[-sniffing.SNIFF_LENGTH :])
    assert kind is not None, data[:100]
    return kind


def convert(
    data: bytes, reading: Reading = WHOLE, limits: EngineLimits = LIMITS
) -> list[ConvertedPage]:
    """Return the pages of a document, which are within their bounds and in order."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "document")
        path.write_bytes(data)
        made = registry.load_converter(detected(data))(path, limits, lambda *_: None, reading)
    pages = list(fit_pages(made.pages))
    check_pages(pages)
    if not reading.ranges:
        assert [page.result.index for page in pages] == list(range(len(pages)))
    return pages


def count(data: bytes) -> int:
    """Return how many pages a document has."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "document")
        path.write_bytes(data)
        return registry.count_pages(path, detected(data))


def texts(data: bytes, reading: Reading = WHOLE) -> list[str]:
    """Return the Markdown of each page of a document."""
    return [page.result.markdown for page in convert(data, reading)]


def messages(pages: list[ConvertedPage]) -> list[str]:
    """Return the sentences of all warnings."""
    return [warning.message for page in pages for warning in page.result.warnings]
