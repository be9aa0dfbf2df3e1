"""Hostile OpenDocument files through the engine and its sandbox."""

import random
from pathlib import Path

import pytest

from actors.engines import Unconvertible
from tests import hostile_opendocuments, hostile_runs
from tests.conversions import convert

QUICK = (
    "repeated_cells",
    "objects_within_themselves",
    "repeated_pictures",
    "entities",
    "changes_within_themselves",
    "depths",
    "deep_spans",
)


@pytest.mark.parametrize("kind", QUICK)
@pytest.mark.parametrize("seed", range(3))
def test_a_hostile_file_ends(kind: str, seed: int) -> None:
    try:
        pages = convert(hostile_opendocuments.KINDS[kind](random.Random(seed)))
    except Unconvertible as refusal:
        assert refusal.code in ("corrupt", "too_large")  # noqa: PT017
        return
    assert len(pages) == 1
    assert "root:" not in pages[0].result.markdown


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_hundred_hostile_files_end_with_a_reason_or_a_result(tmp_path: Path) -> None:
    assert 0 < await hostile_runs.run(hostile_opendocuments.KINDS, 100, tmp_path) <= 100
