"""Documents of random structure come out with every text once, in order and with its mark."""

import re
from pathlib import Path

import pytest

from ilios.engines.pages import Reading
from tests.read_markdown import numbers_shown, numbers_written
from tests.word_documents import converted
from tests.word_maker import Maker

_MARKS = re.compile(r"\*+|~~|</?su[bp]>|\[\^\w+\]|\[(?=[a-z])|\]\(https://u\.example/\)")
_TOKEN = re.compile(r"[a-z]+x\d+")


def lines_of(markdown: str) -> list[str]:
    """Return the lines of Markdown without emphasis, links and rules of tables."""
    lines, code = [], False
    for line in markdown.split("\n"):
        code ^= line == "```"
        shown = line if code else _MARKS.sub("", line).strip()
        if shown and "| --- |" not in shown and shown != "<!-- -->":
            lines.append(shown)
    return lines


def differences(seed: int, path: Path) -> list[str]:
    """Return what is wrong with the Markdown of the document of a seed."""
    made = Maker(seed).make()
    markdown = converted(path, made.data, Reading(merged_cells="once")).result.markdown
    assert numbers_shown(markdown) == numbers_written(markdown), f"numbers of seed {seed}"
    lines = lines_of(markdown)
    wanted = [f"{fact.start}{fact.text}".rstrip() for fact in made.facts]
    if lines == wanted:
        shown = _TOKEN.findall(markdown)
        assert len(shown) == len(set(shown))
        return [token for token in made.unseen if token in shown]
    return [f"{seed}: {a!r}, not {b!r}" for a, b in zip(lines, wanted, strict=False) if a != b] or [
        f"{seed}: {len(lines)} lines, not {len(wanted)}"
    ]


@pytest.mark.parametrize("seed", range(30))
def test_a_random_document_comes_out_whole(seed: int, tmp_path: Path) -> None:
    assert differences(seed, tmp_path) == []


@pytest.mark.long
def test_three_hundred_random_documents_come_out_whole(tmp_path: Path) -> None:
    wrong = [one for seed in range(1000, 1300) for one in differences(seed, tmp_path)]
    assert wrong == []
