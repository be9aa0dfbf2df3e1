"""LaTeX sources to Markdown, without running them. A source becomes one page."""

import re
from collections.abc import Callable
from pathlib import Path

from msgspec import structs

from ilios.engines.converters import blocks, markdown
from ilios.engines.converters.encodings import decode_text
from ilios.engines.converters.latex import references
from ilios.engines.converters.latex.source import prepare
from ilios.engines.converters.latex.walk import Walk
from ilios.engines.converters.text_files import text_page
from ilios.engines.converters.web.html import read_bounded
from ilios.engines.local.limits import MIB, EngineLimits
from ilios.engines.pages import WHOLE, ConvertedPage, Pages, Reading, selected_indices
from schemas.warnings import page_warning

MAX_BYTES = 16 * MIB
MODEL = "latex"
_THEOREM = re.compile(
    r"\\newtheorem\*?\s*\{([A-Za-z]{1,40})\}\s*(?:\[[^\]]{0,40}\])?\s*\{([^{}]{1,80})\}"
)
_MAX_NAMED = 5


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading = WHOLE
) -> Pages:
    """Convert a LaTeX source; see :class:`ilios.engines.converters.registry.Converter`."""
    del limits
    selected_indices(reading.ranges, 1)

    def heartbeat() -> None:
        progress(0, 1)

    heartbeat()
    decoded = decode_text(read_bounded(path, "LaTeX source", MAX_BYTES))
    source = prepare(decoded.text)
    heartbeat()
    theorems = dict(_THEOREM.findall(source.text))
    numbers = references.numbers_of(source.text, frozenset(theorems))
    walk = Walk(source, numbers, theorems, reading.merged_cells, heartbeat)
    text = markdown.clean(blocks.write(walk.document(), heartbeat), hard_breaks=True)
    page = text_page(0, text, decoded, walk.links.warnings())
    left_out = [*walk.left_out] if source.complete else ["macros within macros", *walk.left_out]
    if left_out:
        more = f" and {len(left_out) - _MAX_NAMED} more" if len(left_out) > _MAX_NAMED else ""
        named = ", ".join(" ".join(one.split()) for one in left_out[:_MAX_NAMED])
        warning = page_warning("content_left_out", f"{named}{more}")
        result = structs.replace(page.result, warnings=(*page.result.warnings, warning))
        page = ConvertedPage(result)
    progress(1, 1)
    return Pages([page], MODEL)
