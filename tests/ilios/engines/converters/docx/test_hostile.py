"""Hostile DOCX files end with a result or a reason, in this process and in the sandbox."""

import asyncio
import hashlib
import random
from pathlib import Path

import pytest

from actors.content_types import DOCX
from actors.engines import Conversion, SourceFile, Unconvertible
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import MIB, EngineLimits
from ilios.engines.pages import Reading
from tests.hostile_words import KINDS
from tests.word_documents import converted, docx, field, notes, p, run, table, tr

CODES = {"corrupt", "too_large", "timeout", "out_of_memory"}
SAMPLES = 50
QUICK = ("numbers", "fields", "drawings", "parts in circles", "marks", "equations")


def made(kind: str, seed: int) -> bytes:
    return KINDS[kind](random.Random(f"{seed} {kind}"), "http://127.0.0.1:1/x", "/canary")


def outcome(path: Path, data: bytes) -> str:
    """Convert a document here; return how that ends."""
    try:
        page = converted(path, data, Reading(comments=True))
    except Unconvertible as refusal:
        return refusal.code
    assert len(page.result.markdown) < 5 * MIB
    return "converted"


@pytest.mark.parametrize("kind", QUICK)
def test_what_its_markup_can_do_is_bounded(tmp_path: Path, kind: str) -> None:
    assert outcome(tmp_path, made(f"docx: {kind}", 1)) in CODES | {"converted"}


def test_every_beginning_of_a_document_is_refused_or_read(tmp_path: Path) -> None:
    whole = docx(
        p("Text", field("REF a", run("x"))),
        table(tr("a", "b")),
        parts=notes("footnotes", {"1": p("Note")}),
        related={"n": ("footnotes", "footnotes.xml")},
    )
    for cut in range(0, len(whole), max(len(whole) // 60, 1)):
        with pytest.raises(Unconvertible) as caught:
            converted(tmp_path, whole[:cut])
        assert caught.value.code == "corrupt"


def test_every_changed_byte_ends_with_a_result_or_a_reason(tmp_path: Path) -> None:
    dice = random.Random(3)
    whole = docx(p("Text", style="heading1"), table(tr("a", "b")))
    for _ in range(60):
        broken = bytearray(whole)
        for _ in range(dice.choice([1, 5])):
            broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
        assert outcome(tmp_path, bytes(broken)) in CODES | {"converted", "password_protected"}


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_fifty_hostile_documents_end_in_the_sandbox(tmp_path: Path) -> None:
    limits = EngineLimits(processes=2, memory_bytes=1024 * MIB, cpu_seconds=60, wall_seconds=90.0)
    kinds = sorted(KINDS)

    async def ended(engine: LocalEngine, place: int) -> str:
        data = made(kinds[place % len(kinds)], place)
        path = tmp_path / str(place)
        path.write_bytes(data)
        try:
            done = await engine.convert(SourceFile(path, DOCX, hashlib.sha256(data).hexdigest()))
        except Unconvertible as refusal:
            return refusal.code
        assert isinstance(done, Conversion)
        return "converted"

    async with LocalEngine(limits) as engine:
        ends = await asyncio.gather(*(ended(engine, place) for place in range(SAMPLES)))
    assert set(ends) <= CODES | {"converted"}
    assert ends.count("converted") > SAMPLES // 2
