"""Conversion of a text by its converter, in this process."""

from pathlib import Path

from ilios.engines.converters import registry
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import WHOLE, ConvertedPage, Reading


def pages_of(
    path: Path, content_type: str, data: str | bytes, reading: Reading = WHOLE
) -> list[ConvertedPage]:
    """Return the pages that become of a document."""
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    convert = registry.load_converter(content_type)
    return convert(path, EngineLimits(), lambda done, total: None, reading).pages


def markdown_of(path: Path, content_type: str, data: str | bytes, reading: Reading = WHOLE) -> str:
    """Return the Markdown of a document of one page."""
    (page,) = pages_of(path, content_type, data, reading)
    return page.result.markdown
