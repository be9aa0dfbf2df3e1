"""RTF to Markdown. It has no fixed pages: it becomes one."""

from collections.abc import Callable
from pathlib import Path

from msgspec import structs

from actors.engines import Unconvertible
from ilios.engines.converters import blocks
from ilios.engines.converters.rtf.reader import Reader
from ilios.engines.converters.web.html import picture_page, read_bounded
from ilios.engines.local.limits import MIB, EngineLimits
from ilios.engines.pages import WHOLE, ConvertedPage, Pages, Reading, selected_indices
from schemas.warnings import page_warning

MAX_BYTES = 128 * MIB
MODEL = "rtf"


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading = WHOLE
) -> Pages:
    """Convert RTF; see :class:`ilios.engines.converters.registry.Converter`."""
    del limits
    selected_indices(reading.ranges, 1)

    def heartbeat() -> None:
        progress(0, 1)

    heartbeat()
    data = read_bounded(path, "RTF document", MAX_BYTES).lstrip()
    if not data.startswith(b"{\\rtf"):
        raise Unconvertible("corrupt", "The RTF document is damaged: its beginning is missing.")
    reader = Reader(reading)
    found = reader.read(data, heartbeat)
    warnings = (*reader.pictures.warnings(), *reader.links.warnings())
    if reader.left_out:
        warnings = (*warnings, page_warning("content_left_out", f"{reader.left_out} pictures"))
    page = picture_page(0, blocks.write(found, heartbeat), reader.pictures, warnings)
    outside = {name: blocks.write(there) for name, there in reader.headers.items()}
    result = structs.replace(
        page.result, header=outside.get("header"), footer=outside.get("footer")
    )
    progress(1, 1)
    return Pages([ConvertedPage(result, page.image_bytes)], MODEL)
