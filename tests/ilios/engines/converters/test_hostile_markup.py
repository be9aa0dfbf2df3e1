"""Hostile texts end in the sandbox, within their budget, with a result or a reason."""

import time
from pathlib import Path

import pytest

from actors.engines import EngineCrashed, SourceFile, Unconvertible
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import MIB, EngineLimits
from tests.hostile_markup import CONTENT_TYPES, KINDS, sample

CODES = {"corrupt", "password_protected", "too_large", "too_many_pages", "out_of_memory"}
CANARY = "canary-in-a-file"
WITHIN = 60.0
"""Seconds for a sample, on a machine that has more to do; most take less than one."""

LIMITS = EngineLimits(processes=2, memory_bytes=1024 * MIB, wall_seconds=WITHIN)


async def check(directory: Path, name: str, numbers: range) -> None:
    canary = directory / "canary.txt"
    canary.write_text(CANARY)
    async with LocalEngine(LIMITS) as engine:
        for number in numbers:
            path = directory / f"{name}{number}"
            path.write_bytes(sample(name, number, str(canary)))
            began = time.monotonic()
            try:
                conversion = await engine.convert(SourceFile(path, CONTENT_TYPES[name]))
            except Unconvertible as refusal:
                if refusal.code not in CODES:
                    pytest.fail(f"{name} {number}: {refusal.code} {refusal.reason}")
            except EngineCrashed as crash:
                pytest.fail(f"{name} {number}: {crash.reason}")
            else:
                assert not any(CANARY in page for page in conversion.pages), number
                assert not any("javascript:" in page for page in conversion.pages), number
            assert time.monotonic() - began < WITHIN, number
            path.unlink()


@pytest.mark.parametrize("name", sorted(KINDS))
@pytest.mark.slow
async def test_some_hostile_texts_end_with_a_result_or_a_reason(name: str, tmp_path: Path) -> None:
    await check(tmp_path, name, range(len(KINDS[name]) + 2))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", sorted(KINDS))
async def test_fifty_hostile_texts_end_with_a_result_or_a_reason(name: str, tmp_path: Path) -> None:
    await check(tmp_path, name, range(50))
