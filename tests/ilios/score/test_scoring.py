"""Text layers for comparison, read in a process of their own."""

import signal
from pathlib import Path

import pytest

from ilios.score import scoring
from ilios.score.scoring import read_layers
from tests import documents

CRASH = f"""
import os, runpy, sys
from ilios.score import page_layers
read = page_layers.read_layers
def read_or_crash(path):
    if path.name == "b.pdf":
        os.kill(os.getpid(), {int(signal.SIGKILL)})
    return read(path)
page_layers.read_layers = read_or_crash
sys.exit(page_layers.main(sys.argv[1:]))
"""


async def test_the_layer_of_each_page_is_read_and_a_broken_file_has_none(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(documents.pdf("One", "Two"))
    (tmp_path / "b.pdf").write_bytes(b"%PDF-1.7 broken")
    layers = await read_layers([tmp_path / "b.pdf", tmp_path / "a.pdf"])
    assert layers == {tmp_path / "b.pdf": [], tmp_path / "a.pdf": ["One", "Two"]}


async def test_files_after_one_that_kills_the_reader_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "reader.py"
    script.write_text(CRASH)
    monkeypatch.setattr(scoring, "READER", (str(script),))
    for name in "abc":
        (tmp_path / f"{name}.pdf").write_bytes(documents.pdf(name.upper()))
    layers = await read_layers([tmp_path / f"{name}.pdf" for name in "abc"])
    assert layers == {tmp_path / "a.pdf": ["A"], tmp_path / "c.pdf": ["C"]}
