"""Drawn documents come out of each format of markup with every text once, in order and in place."""

from pathlib import Path

import pytest

from ilios.engines.converters import registry
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import Reading
from tests.drawn_documents import Drawing, Event, expected
from tests.markup_writers import FORMATS
from tests.read_markdown import events_of

QUICK, ALL = range(30), range(30, 300)
LIMITS = EngineLimits()


def converted(path: Path, data: bytes, content_type: str) -> str:
    path.write_bytes(data)
    convert = registry.load_converter(content_type)
    pages = convert(path, LIMITS, lambda done, total: None, Reading(merged_cells="once"))
    assert [page.result.warnings for page in pages.pages] == [()] * len(pages.pages)
    return "\n\n<!-- -->\n\n".join(page.result.markdown for page in pages.pages)


def check(directory: Path, name: str, seed: int) -> None:
    form = FORMATS[name]
    document = Drawing(seed, form.kinds, form.styles).document()
    wanted: list[Event] = expected(document)
    if name == "notebook":  # whose code is all in one language
        wanted = [("code", "python", one[2]) if one[0] == "code" else one for one in wanted]
    text = converted(directory / f"{seed}", form.write(document), form.content_type)
    assert events_of(text) == wanted, f"{name} {seed}"


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_drawn_document_has_its_texts_and_their_places(name: str, tmp_path: Path) -> None:
    for seed in QUICK:
        check(tmp_path, name, seed)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_hundreds_of_drawn_documents_have_their_texts_and_places(name: str, tmp_path: Path) -> None:
    for seed in ALL:
        check(tmp_path, name, seed)
