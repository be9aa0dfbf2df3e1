"""`ilios convert`: files in, Markdown out, and exit codes that scripts can rely on."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

import msgspec
import pytest

from ilios.cli import convert
from tests import documents
from tests.journeys.commands import run_here
from tests.pdf_pages import Builder, line, lines
from tests.protected_pdfs import TEXT, protected_pdf

ROOT = Path(__file__).parents[3]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.pdf"
    path.write_bytes(documents.pdf("First page", "Second page"))
    return path


def test_a_document_is_printed_and_nothing_else(report: Path) -> None:
    code, out, errors = run_here("convert", str(report))

    assert code == 0
    assert out == "First page\n\n---\n\nSecond page\n"
    assert errors == ""


def test_a_dash_reads_the_document_from_stdin(report: Path) -> None:
    code, out, _ = run_here("convert", "-", stdin=report.read_bytes())

    assert code == 0
    assert out.startswith("First page")


def test_several_documents_are_written_into_a_directory(report: Path, tmp_path: Path) -> None:
    letter = tmp_path / "letter.docx"
    letter.write_bytes(documents.docx(documents.paragraph("Dear reader")))

    code, out, _ = run_here("convert", str(report), str(letter), "-o", str(tmp_path / "out"))

    assert code == 0
    assert out == ""
    assert (tmp_path / "out" / "report.pdf.md").read_text().startswith("First page")
    assert (tmp_path / "out" / "letter.docx.md").read_text() == "Dear reader\n"


def test_json_has_the_pages_apart(report: Path) -> None:
    code, out, _ = run_here("convert", str(report), "--format", "json")

    assert code == 0
    answer = msgspec.json.decode(out)
    assert answer["pages"] == ["First page", "Second page"]
    assert answer["engine"] == "local"


def test_json_has_the_running_header_and_footer_of_each_page(tmp_path: Path) -> None:
    builder = Builder()
    for number in (1, 2, 3):
        builder.page(
            line("The yearly book of the lock", 72, 765, 9)
            + lines(*[f"Barge {number}{at} went through the lock." for at in range(9)], top=700)
            + line(f"Page {number} of 3", 280, 30, 9)
        )
    book = tmp_path / "book.pdf"
    book.write_bytes(builder.build())

    code, out, _ = run_here("convert", str(book), "--format", "json")

    assert code == 0
    answer = msgspec.json.decode(out)
    details = answer["pageDetails"]
    assert [one["header"] for one in details] == ["The yearly book of the lock"] * 3
    assert [one["footer"] for one in details] == [f"Page {number} of 3" for number in (1, 2, 3)]
    assert not any("yearly book" in page for page in answer["pages"])
    assert not any("markdown" in one for one in details)


def test_warnings_are_printed_and_in_the_json(tmp_path: Path) -> None:
    half = tmp_path / "half.pdf"
    half.write_bytes(documents.pdf_with_broken_page())

    code, out, errors = run_here("convert", str(half), "--format", "json")

    assert code == 0
    (line,) = [one for one in errors.splitlines() if "warning" in one]
    assert line.endswith(
        "half.pdf: warning: The page is damaged and could not be read. (page_unreadable; pages 2)"
    )
    answer = msgspec.json.decode(out)
    assert [one["code"] for one in answer["warnings"]] == ["page_unreadable"]
    assert answer["quality"]["unreadable"] == 1


def test_one_bad_document_does_not_keep_the_others_from_being_converted(
    report: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7\nno more than that")

    code, out, errors = run_here("convert", str(broken), str(report), str(tmp_path / "absent.pdf"))

    assert code == 1
    assert "First page" in out
    assert "broken.pdf: " in errors
    assert "corrupt" in errors
    assert "absent.pdf: No such file" in errors
    assert "Traceback" not in errors


def test_an_unconvertible_file_is_named_with_its_reason(tmp_path: Path) -> None:
    page = tmp_path / "page.pdf"
    page.write_text("not a PDF")

    code, _, errors = run_here("convert", str(page))

    assert code == 1
    assert "This is text" in errors
    assert "PDF" in errors


def test_no_file_at_all_is_a_usage_error() -> None:
    code, _, errors = run_here("convert")

    assert code == 2
    assert "FILE" in errors


def test_documents_of_one_name_do_not_replace_each_other(tmp_path: Path) -> None:
    files = []
    for place in ("a", "b", "c"):
        (tmp_path / place).mkdir()
        files.append(tmp_path / place / "x.pdf")
        files[-1].write_bytes(documents.pdf(f"From {place}"))
    out = tmp_path / "out"

    code, _, _ = run_here("convert", *map(str, files), "-o", str(out))

    assert code == 0
    written = {path.name: path.read_text() for path in out.iterdir()}
    assert written == {
        "x.pdf.md": "From a\n",
        "x.pdf-2.md": "From b\n",
        "x.pdf-3.md": "From c\n",
    }


def test_a_slash_at_the_end_makes_a_directory(report: Path, tmp_path: Path) -> None:
    options = argparse.Namespace(
        files=[str(report)],
        output=f"{tmp_path}/new/",
        format="markdown",
        pages=None,
        password_file=None,
        partial=False,
        language=None,
        recognition="auto",
        tracked_changes="final",
        comments=False,
        merged_cells="auto",
        chunk_size=None,
        quiet=False,
    )

    assert convert.run(options) == 0
    assert (tmp_path / "new" / "report.pdf.md").read_text().startswith("First page")
    options.output = f"{report}/"
    assert convert.run(options) == 1
    assert report.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("target", ["missing/out.md", "report.pdf/", "report.pdf/out.md"])
def test_an_unwritable_path_is_reported_in_one_line(
    report: Path, tmp_path: Path, target: str
) -> None:
    code, out, errors = run_here("convert", str(report), "-o", f"{tmp_path}/{target}")

    assert code == 1
    assert out == ""
    assert len(errors.splitlines()) == 1
    assert "cannot write" in errors


@pytest.mark.parametrize("command", ["convert", "check"])
async def test_a_full_stdout_is_reported_in_one_line(report: Path, command: str) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    code, errors = await _into(full, command, str(report))
    os.close(full)

    assert code == 1
    assert errors.splitlines() == ["ilios: stdout cannot be written: No space left on device"]


@pytest.mark.parametrize("command", ["convert", "check"])
async def test_a_closed_pipe_is_not_reported(report: Path, command: str) -> None:
    theirs, ours = os.pipe()
    os.close(theirs)
    code, errors = await _into(ours, command, str(report))
    os.close(ours)

    assert code == 1
    assert errors == ""


async def _into(stdout: int, command: str, *files: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ilios",
        command,
        *(files if command == "convert" else ()),
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, errors.decode()


def test_a_file_that_is_not_regular_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer for ever

    code, _, errors = run_here("convert", "/dev/zero", str(tmp_path / "pipe"))

    assert code == 1
    assert errors.count("not a regular file") == 2


def test_stdin_is_read_up_to_the_size_of_a_document(report: Path) -> None:
    endless = report.read_bytes() + b"\n" * 1024 * 1024
    code, _, errors = run_here("convert", "-", stdin=endless, ILIOS_MAX_FILE_MB="1")

    assert code == 1
    assert "more on stdin than 1 MiB (ILIOS_MAX_FILE_MB)" in errors


def test_a_document_is_not_replaced_by_its_own_markdown(report: Path) -> None:
    before = report.read_bytes()
    code, _, errors = run_here("convert", str(report), "-o", str(report))

    assert code == 1
    assert "is one of the documents" in errors
    assert report.read_bytes() == before


def test_an_unknown_language_is_a_usage_error(report: Path) -> None:
    code, out, errors = run_here("convert", "--language", "ru,xx", str(report))
    assert (code, out) == (2, "")
    assert "--language must be" in errors
    assert '"xx"' in errors


@pytest.mark.parametrize("pages", ["0", "3-1", "first", ""])
def test_invalid_pages_are_a_usage_error(report: Path, pages: str) -> None:
    code, out, errors = run_here("convert", "--pages", pages, str(report))

    assert (code, out) == (2, "")
    assert "--pages" in errors
    assert "1-3,7,10-" in errors


def test_a_protected_pdf_is_opened_by_the_password_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(protected_pdf("AES-256", "Grüße 7 ".encode()))
    password = tmp_path / "password"
    password.write_bytes("Grüße 7 \r\nanother line".encode())
    code, out, errors = run_here(
        "convert", str(tmp_path / "a.pdf"), "--password-file", str(password)
    )
    assert (code, out, errors) == (0, TEXT + "\n", "")

    code, out, errors = run_here("convert", str(tmp_path / "a.pdf"))
    assert (code, out) == (1, "")
    assert "--password-file" in errors
    assert "(password_protected)" in errors


def test_a_file_without_a_password_is_wrong_usage(tmp_path: Path, report: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_bytes(b"\n")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    for file, words in ((empty, "not a password"), (binary, "not UTF-8"), (tmp_path / "x", "No ")):
        code, out, errors = run_here("convert", str(report), "--password-file", str(file))
        assert (code, out) == (2, "")
        assert words in errors
