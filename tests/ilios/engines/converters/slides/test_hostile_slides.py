"""Hostile presentations end with a reason in the sandboxed engine, and reach nothing."""

import asyncio
import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from actors.engines import Conversion, Unconvertible
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import MIB, EngineLimits
from tests import hostile_slides
from tests.hostile_documents import Hostile
from tests.ilios.engines.converters.test_hostile_documents import CODES, ended

SECRET = "canary-in-a-file"
QUICK = ("broken parts", "changed values", "cycles", "entities", "outside", "wrong numbers")
SAMPLES = 3
"""Presentations of each kind, of which there are 18."""


async def check(folder: Path, kinds: Iterable[str]) -> list[Conversion | Unconvertible]:
    secret = folder / "secret"
    secret.write_text(SECRET)
    samples = [
        Hostile(
            kind,
            "hostile.pptx",
            hostile_slides.KINDS[kind](
                random.Random(f"{seed} {kind}"), "http://127.0.0.1:9/x", str(secret)
            ),
        )
        for kind in kinds
        for seed in range(SAMPLES)
    ]
    limits = EngineLimits(processes=2, memory_bytes=1024 * MIB, page_seconds=30)
    async with LocalEngine(limits, folder / "staging") as engine:
        ends = await asyncio.gather(
            *(ended(engine, folder / str(place), each) for place, each in enumerate(samples))
        )
    for each, end in zip(samples, ends, strict=True):
        if isinstance(end, Unconvertible):
            assert end.code in CODES, f"{each.kind}: {end.code}: {end.reason}"
        else:
            assert not any(SECRET in page for page in end.pages), each.kind
    return ends


async def test_a_few_hostile_presentations_end_with_a_reason(tmp_path: Path) -> None:
    ends = await check(tmp_path, [f"slides: {kind}" for kind in QUICK])
    assert any(isinstance(end, Conversion) for end in ends)


@pytest.mark.long
async def test_fifty_hostile_presentations_end_with_a_reason(tmp_path: Path) -> None:
    ends = await check(tmp_path, hostile_slides.KINDS)
    assert len(ends) > 50
    assert any(isinstance(end, Conversion) for end in ends)
    assert any(isinstance(end, Unconvertible) for end in ends)
