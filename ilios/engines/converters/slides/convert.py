"""PPTX to Markdown: each slide is a page."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from actors.engines import Unconvertible
from ilios.engines.converters.opc import open_package
from ilios.engines.converters.slides.deck import Deck
from ilios.engines.converters.slides.slide import convert_slide
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import (
    WHOLE,
    Pages,
    Reading,
    check_page_limit,
    model_name,
    selected_indices,
)

KIND = "PPTX"


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading = WHOLE
) -> Pages:
    """Convert a PPTX; see :class:`ilios.engines.converters.registry.Converter`."""
    with open_package(path, KIND) as package:
        deck = Deck(package)
        slides = deck.slides
        selected = selected_indices(reading.ranges, len(slides))
        check_page_limit(KIND, "slides", len(slides), len(selected), limits.max_pages)
        indices = reading.portion.of(selected)
        progress(0, len(indices))
        pages = []
        size = 0
        for done, index in enumerate(indices):
            heartbeat = partial(progress, done, len(indices))
            pages.append(convert_slide(deck, slides[index], index, reading, heartbeat))
            size += len(pages[-1].result.markdown)
            if size > limits.max_output_bytes:  # now, and not when memory is full
                raise Unconvertible(
                    "too_large",
                    f"The {KIND} becomes more than {limits.max_output_bytes} bytes of Markdown.",
                )
            progress(len(pages), len(indices))
    return Pages(pages, model_name("lxml"), len(selected))


def count_pages(path: Path) -> int:
    """Return how many slides a PPTX has.

    :raises Unconvertible: it is damaged or protected.
    """
    with open_package(path, KIND) as package:
        return len(Deck(package).slides)
