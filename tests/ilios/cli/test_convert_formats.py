"""`ilios convert --format`: each format on stdout and in files, and progress on a terminal."""

import asyncio
import contextlib
import os
import pty
import re
import sys
from pathlib import Path

import pytest

from tests import documents
from tests.journeys.commands import run_here
from tests.journeys.running import ROOT


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.pdf"
    path.write_bytes(documents.pdf("First page", "Second page"))
    return path


@pytest.mark.parametrize(
    ("form", "suffix", "found"),
    [
        ("text", "txt", "First page\n\fSecond page\n"),
        ("html", "html", '<section data-page="2" id="page-2">\n<p>Second page</p>'),
        ("chunks", "jsonl", '{"fileName":"report.pdf","index":0,"page":1,"pages":[1,2]'),
    ],
)
def test_each_format_is_written_under_its_suffix(
    report: Path, tmp_path: Path, form: str, suffix: str, found: str
) -> None:
    code, out, errors = run_here("convert", str(report), "--format", form, "-o", f"{tmp_path}/out/")

    assert (code, out, errors) == (0, "", "")
    assert found in (tmp_path / "out" / f"report.pdf.{suffix}").read_text()


def test_several_texts_on_stdout_have_their_names(report: Path) -> None:
    files = (str(report), str(report))
    _, out, _ = run_here("convert", *files, "--format", "text")

    assert out.startswith(f"==> {report} <==\n\nFirst page\n\f")
    assert out.count("==> ") == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--format", "html"), "need a directory: add -o PATH"),
        (("--format", "chunks", "--chunk-size", "31"), "--chunk-size must be 32 to 8192"),
        (("--chunk-size", "512"), "--chunk-size is for --format chunks only"),
    ],
)
def test_a_format_that_cannot_be_is_a_usage_error(
    report: Path, arguments: tuple[str, ...], words: str
) -> None:
    code, out, errors = run_here("convert", str(report), str(report), *arguments)

    assert (code, out) == (2, "")
    assert words in errors


@pytest.mark.slow
async def test_progress_of_long_work_is_shown_on_a_terminal_and_cleared(tmp_path: Path) -> None:
    book = tmp_path / "book.pdf"
    book.write_bytes(documents.pdf(*[f"Page {number}" for number in range(1, 1500)]))

    shown = await _convert_on_terminal(str(book), str(book), "-o", str(tmp_path / "out"))

    assert re.search(r"\[[01]/2\] \[#*-*\] \d+% book\.pdf: page \d+ of \d+", shown)
    assert shown.endswith("\r\x1b[K")
    assert (tmp_path / "out" / "book.pdf-2.md").exists()


async def test_a_quiet_conversion_shows_no_progress(report: Path) -> None:
    assert await _convert_on_terminal(str(report), "--quiet") == ""


async def _convert_on_terminal(*arguments: str) -> str:
    """Return what a terminal on stderr gets."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ilios",
        "convert",
        *arguments,
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    reading = asyncio.create_task(asyncio.to_thread(_read_all, ours))
    async with asyncio.timeout(60):
        assert await process.wait() == 0
        return await reading


def _read_all(terminal: int) -> str:
    shown = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while piece := os.read(terminal, 65536):
            shown += piece
    os.close(terminal)
    return shown.decode()
