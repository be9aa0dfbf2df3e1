"""Markdown as it is, without the characters that no Markdown of ours has."""

from collections.abc import Callable
from pathlib import Path

from ilios.engines.converters import markdown, text_files
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import WHOLE, Pages, Reading, selected_indices


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading = WHOLE
) -> Pages:
    """Convert Markdown; see :class:`ilios.engines.converters.registry.Converter`."""
    selected_indices(reading.ranges, 1)
    progress(0, 1)
    decoded = text_files.read_text(path, limits)
    text = markdown.clean_characters(decoded.text).strip("\n")
    progress(1, 1)
    return Pages([text_files.text_page(0, text, decoded)], text_files.MODEL)
