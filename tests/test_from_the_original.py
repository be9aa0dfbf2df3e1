"""What the page about the original service promises is held by tests, and nothing is left out."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/from-the-original.md").read_text()
PARTS = PAGE.partition("## Its README, part by part")[2]
ROWS = [
    row
    for row in re.findall(r"^\| (.+) \| (.+) \| (.+) \|$", PARTS, re.MULTILINE)
    if row[0] != "original"
]
README = ROOT.parent / "shared/seed/original-readme.md"
MIN_ROWS = 70


def test_every_part_of_the_original_names_tests_that_exist() -> None:
    assert len(ROWS) >= MIN_ROWS
    for original, _, tests in ROWS:
        holders = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", tests)
        assert len(holders) == len(tests.split(", ")), original
        for path, test in holders:
            source = (ROOT / path).read_text()
            assert re.search(rf"^(?:async )?def {test}\(", source, re.MULTILINE), test


@pytest.mark.skipif(not README.exists(), reason="the README of the original is not here")
def test_every_heading_of_the_original_is_on_the_page_in_its_order() -> None:
    text = re.sub(r"^```.*?^```", "", README.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^##+ (.+)$", text, re.MULTILINE)
    assert re.findall(r"^### (.+)$", PARTS, re.MULTILINE) == headings
