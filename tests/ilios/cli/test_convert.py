"""`ilios convert`: files in, Markdown out, and exit codes that scripts can rely on."""

import asyncio
import os
import pty
import sys
from pathlib import Path

import msgspec
import pytest

from tests import documents

ROOT = Path(__file__).parents[3]


async def _convert(*words: str, stdin: bytes | None = None, **environ: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ilios",
        "convert",
        *words,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environ},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, errors = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, out.decode(), errors.decode()


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.pdf"
    path.write_bytes(documents.pdf("First page", "Second page"))
    return path


async def test_a_document_is_printed_and_nothing_else(report: Path) -> None:
    code, out, errors = await _convert(str(report))

    assert code == 0
    assert out == "First page\n\n---\n\nSecond page\n"
    assert errors == ""


async def test_a_dash_reads_the_document_from_stdin(report: Path) -> None:
    code, out, _ = await _convert("-", stdin=report.read_bytes())

    assert code == 0
    assert out.startswith("First page")


async def test_several_documents_are_written_into_a_directory(report: Path, tmp_path: Path) -> None:
    letter = tmp_path / "letter.docx"
    letter.write_bytes(documents.docx(documents.paragraph("Dear reader")))

    code, out, _ = await _convert(str(report), str(letter), "-o", str(tmp_path / "out"))

    assert code == 0
    assert out == ""
    assert (tmp_path / "out" / "report.pdf.md").read_text().startswith("First page")
    assert (tmp_path / "out" / "letter.docx.md").read_text() == "Dear reader\n"


async def test_json_has_the_pages_apart(report: Path) -> None:
    code, out, _ = await _convert(str(report), "--format", "json")

    assert code == 0
    answer = msgspec.json.decode(out)
    assert answer["pages"] == ["First page", "Second page"]
    assert answer["engine"] == "local"


async def test_one_bad_document_does_not_keep_the_others_from_being_converted(
    report: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7\nno more than that")

    code, out, errors = await _convert(str(broken), str(report), str(tmp_path / "absent.pdf"))

    assert code == 1
    assert "First page" in out
    assert "broken.pdf: " in errors
    assert "corrupt" in errors
    assert "absent.pdf: No such file" in errors
    assert "Traceback" not in errors


async def test_what_cannot_be_converted_is_named_for_what_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.pdf"
    page.write_text("<html><body>not a PDF</body></html>")

    code, _, errors = await _convert(str(page))

    assert code == 1
    assert "HTML" in errors
    assert "PDF" in errors


async def test_no_file_at_all_is_a_usage_error() -> None:
    code, _, errors = await _convert()

    assert code == 2
    assert "FILE" in errors


async def test_progress_is_shown_on_a_terminal(report: Path) -> None:
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ilios",
        "convert",
        str(report),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    async with asyncio.timeout(60):
        assert await process.wait() == 0
    shown = os.read(ours, 65536).decode()
    os.close(ours)

    assert "report.pdf: page 2 of 2" in shown
    assert "2 pages in" in shown
