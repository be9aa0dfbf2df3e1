"""Hostile spreadsheets in the real sandbox: each ends within its budget, with a reason."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from actors.content_types import CSV, ODS, XLSX
from actors.engines import Conversion, EngineCrashed, SourceFile, Unconvertible
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import MIB, EngineLimits
from tests import hostile_sheets, spreadsheets
from tests.hostile_sheets import Maker

KINDS: Mapping[str, Mapping[str, Maker]] = {
    XLSX: hostile_sheets.XLSX_KINDS,
    ODS: hostile_sheets.ODS_KINDS,
    CSV: hostile_sheets.CSV_KINDS,
}
CODES = {"corrupt", "too_large", "too_many_pages", "password_protected", "out_of_memory"}
SAMPLES = 50
LIMITS = EngineLimits(processes=2, memory_bytes=1024 * MIB, wall_seconds=60)


async def ended(engine: LocalEngine, path: Path, content_type: str) -> str:
    try:
        found = await engine.convert(SourceFile(path, content_type))
    except EngineCrashed as crash:
        return f"crashed: {crash.reason}"
    except Unconvertible as refusal:
        return refusal.code if refusal.reason.endswith(".") else refusal.reason
    assert isinstance(found, Conversion)
    assert not any("root:" in text for text in found.pages)
    return "converted"


async def outcomes(path: Path, content_type: str, names: Sequence[str]) -> dict[str, str]:
    """Return how the samples of these kinds end."""
    kinds = KINDS[content_type]
    async with LocalEngine(LIMITS, path / "staging") as engine:
        found: dict[str, str] = {}

        async def one(number: int, name: str) -> None:
            file = path / str(number)
            made = kinds[name](random.Random(f"{number} {name}"))
            await asyncio.to_thread(file.write_bytes, made)
            found[f"{number} {name}"] = await ended(engine, file, content_type)
            file.unlink()

        for at in range(0, len(names), 2):
            await asyncio.gather(*(one(at + n, name) for n, name in enumerate(names[at : at + 2])))
    return found


QUICK = {
    XLSX: ["far_references", "entities", "deep", "cut", "loops", "format_codes"],
    ODS: ["ods_repeats", "ods_nested", "ods_entities", "ods_cut", "ods_objects"],
    CSV: ["csv_noise", "csv_marks", "csv_stated"],
}


@pytest.mark.slow
@pytest.mark.parametrize("content_type", [XLSX, ODS, CSV])
async def test_hostile_spreadsheets_end_with_a_reason(content_type: str, tmp_path: Path) -> None:
    found = await outcomes(tmp_path, content_type, QUICK[content_type])
    assert set(found.values()) <= CODES | {"converted"}, found


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("content_type", [XLSX, ODS, CSV])
async def test_50_hostile_spreadsheets_of_each_format_end_with_a_reason(
    content_type: str, tmp_path: Path
) -> None:
    names = sorted(KINDS[content_type]) * SAMPLES
    found = await outcomes(tmp_path, content_type, names[:SAMPLES])
    assert set(found.values()) <= CODES | {"converted"}, found
    assert len(found) == SAMPLES


@pytest.mark.slow
async def test_many_small_sheets_of_an_ods_are_plausible_pages(tmp_path: Path) -> None:
    file = tmp_path / "document"
    table = '<table:table table:name="a"/>'
    file.write_bytes(spreadsheets.ods(table * 3_000))
    assert file.stat().st_size < 3_000
    async with LocalEngine(LIMITS, tmp_path / "staging") as engine:
        found = await engine.convert(SourceFile(file, ODS))
    assert len(found.pages) == 3_000
