"""Markdown as it is, without unsafe links and the characters that no Markdown of ours has."""

from collections.abc import Callable
from pathlib import Path

from ilios.engines.converters import markdown, text_files
from ilios.engines.converters.unsafe_links import links_left_out, without_unsafe_links
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import WHOLE, Pages, Reading, selected_indices


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading = WHOLE
) -> Pages:
    """Convert Markdown; see :class:`ilios.engines.converters.registry.Converter`."""
    selected_indices(reading.ranges, 1)
    progress(0, 1)
    decoded = text_files.read_text(path, limits)
    text, unsafe = without_unsafe_links(markdown.clean_characters(decoded.text).strip("\n"))
    progress(1, 1)
    page = text_files.text_page(0, text, decoded, links_left_out(unsafe))
    return Pages([page], text_files.MODEL)
