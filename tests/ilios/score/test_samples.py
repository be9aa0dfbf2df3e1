"""All samples of our own, converted by the engine: what holds, and what does not hold yet."""

from pathlib import Path

import pytest

from ilios.engines.local.limits import EngineLimits
from ilios.score.conversions import local_converter
from ilios.score.documents import find_documents
from ilios.score.scoring import DocumentScore, score_all
from tests.quality.suite import samples, write_samples

PROCESSES = 2
LEAST_KINDS = 45
VARIANTS = 3

NOT_YET = {
    "scan-other-script/ukrainian.png": "a line is read as Latin letters that look alike",
}
"""Samples of which some expectation does not hold yet, and why."""
DEPENDS = "scan-other-script"
"""The kind whose results depend on the languages of tesseract that are installed."""


async def convert_samples(directory: Path) -> list[DocumentScore]:
    write_samples(directory)
    async with local_converter(EngineLimits(processes=PROCESSES)) as converter:
        return await score_all(find_documents(directory), converter, PROCESSES, lambda _: None)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_the_samples_are_as_expected_but_for_the_listed_ones(tmp_path: Path) -> None:
    scores = await convert_samples(tmp_path)
    broken = {score.name: score.broken for score in scores if score.broken}
    unlisted = {name: lines for name, lines in broken.items() if name not in NOT_YET}
    assert unlisted == {}
    held = [score.name for score in scores if not score.broken and score.kind != DEPENDS]
    assert [name for name in held if name in NOT_YET] == [], "these are as expected now"
    lost = [
        (score.name, page.index + 1, page.missing)
        for score in scores
        for page in score.conservation
        if page.is_silent_loss or page.is_great_loss
    ]
    assert [loss for loss in lost if loss[0] not in NOT_YET] == []


def test_there_are_three_samples_of_each_kind_and_they_are_always_the_same() -> None:
    kinds: dict[str, list[str]] = {}
    for sample in samples():
        kinds.setdefault(sample.kind, []).append(sample.variant)
        assert sample.make() == sample.make(), sample.name
    assert len(kinds) >= LEAST_KINDS
    assert [kind for kind, variants in kinds.items() if len(set(variants)) < VARIANTS] == []
