"""Conversion of presentations that the tests write."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ilios.engines.converters.slides.convert import convert
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import WHOLE, ConvertedPage, Reading
from tests.presentations import Slide, presentation

Converted = Callable[..., list[ConvertedPage]]


@pytest.fixture
def converted(tmp_path: Path) -> Converted:
    """Convert a presentation of these slides, or of these bytes."""

    def make(*slides: Slide, reading: Reading = WHOLE, data: bytes = b"") -> list[ConvertedPage]:
        path = tmp_path / "show.pptx"
        path.write_bytes(data or presentation(*slides))
        return convert(path, EngineLimits(), lambda _done, _total: None, reading).pages

    return make


Written = Callable[..., str]


@pytest.fixture
def written(converted: Converted) -> Written:
    """Return the Markdown of one slide of these shapes."""

    def make(*shapes: str, reading: Reading = WHOLE, **more: Sequence[object]) -> str:
        slide = Slide(shapes, **more)  # type: ignore[arg-type]
        return converted(slide, reading=reading)[0].result.markdown

    return make
