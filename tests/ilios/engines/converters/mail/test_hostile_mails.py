"""Hostile mails through the engine and its sandbox."""

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from actors.engines import Unconvertible
from tests import hostile_mails, hostile_runs
from tests.conversions import convert

QUICK = ("deep_multiparts", "many_parts", "deep_mails", "false_boundaries", "mailbox")


@pytest.mark.parametrize("kind", QUICK)
def test_a_flood_of_parts_is_bounded(kind: str) -> None:
    pages = convert(hostile_mails.SENT[kind](random.Random(3)))
    assert 1 <= len(pages) <= 501


@pytest.mark.parametrize("seed", range(8))
def test_sectors_that_lead_anywhere_end(seed: int) -> None:
    try:
        pages = convert(hostile_mails.looping_sectors(random.Random(seed)))
    except (Unconvertible, AssertionError):
        return
    assert len(pages) >= 1


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "kinds", [hostile_mails.SENT, hostile_mails.OF_OUTLOOK], ids=["eml", "msg"]
)
async def test_fifty_hostile_mails_of_a_format_end_with_a_reason_or_a_result(
    kinds: Mapping[str, Callable[[random.Random], bytes]], tmp_path: Path
) -> None:
    assert 0 < await hostile_runs.run(kinds, 50, tmp_path) <= 50
