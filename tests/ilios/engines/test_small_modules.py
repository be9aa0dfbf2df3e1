"""The small rooms of the engine, each by itself."""

import asyncio
import fcntl
import os
import signal
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from actors.engines import EngineCrashed, Unconvertible
from ilios.engines.converters import archives, markdown, pdf_repair, registry
from ilios.engines.converters.equations import MATH, latex
from ilios.engines.local import exit_status, protocol, staging
from ilios.engines.local.limits import MIB, EngineLimits
from tests import documents


def test_the_defaults_are_the_promised_ones() -> None:
    limits = EngineLimits()
    assert limits.processes == os.cpu_count()
    assert limits.memory_bytes == 2 * 1024 * MIB
    assert (limits.wall_seconds, limits.cpu_seconds) == (300, 300)
    assert limits.max_output_bytes == 64 * MIB


def test_a_limit_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="max_pages must be positive"):
        EngineLimits(max_pages=0)


@pytest.mark.parametrize(
    ("returncode", "last_words", "expected"),
    [
        (-signal.SIGXCPU, b"", "timeout"),
        (-signal.SIGABRT, b"memory allocation of 9 bytes failed", "out_of_memory"),
        (-signal.SIGABRT, exit_status.MEMORY_PRESSURE, "out_of_memory"),
        (exit_status.OUT_OF_MEMORY_EXIT, b"", "out_of_memory"),
        (-signal.SIGABRT, b"", True),
        (-signal.SIGSEGV, b"", True),
        (-signal.SIGBUS, b"", True),
        (-signal.SIGILL, b"", True),
        (-signal.SIGFPE, b"", True),
        (1, b"", True),
        (0, b"", False),
        (-signal.SIGKILL, exit_status.MEMORY_PRESSURE, False),
        (-signal.SIGHUP, b"", False),
    ],
)
def test_a_death_has_a_meaning(returncode: int, last_words: bytes, *, expected: str | bool) -> None:
    verdict = exit_status.explain(returncode, last_words)
    if isinstance(expected, str):
        assert isinstance(verdict, Unconvertible)
        assert verdict.code == expected
    else:
        assert isinstance(verdict, EngineCrashed)
        assert verdict.document_blamed is expected


@pytest.mark.parametrize(
    "said",
    [
        b"\xff\xff\xff\xff",
        (101).to_bytes(4, "big"),
        b"\0\0\0\4junk",
        b"\0\0\0\0",
        protocol.encode_frame(protocol.Request("/etc/passwd", documents.PDF, None)),
    ],
    ids=["4 GB", "more than allowed", "junk", "nothing", "a question"],
)
async def test_invalid_text_of_a_compromised_child_is_rejected(said: bytes) -> None:
    pipe = asyncio.StreamReader()
    pipe.feed_data(said)
    with pytest.raises(protocol.BadFrame):
        await protocol.read_answer(pipe, 100)


def test_text_is_cleaned_of_controls_and_composed() -> None:
    raw = "a\x00b\x07 \r\nu\u0308ber\ufeff\ud800  \n\n\n\nend\x0c\n"
    assert markdown.clean(raw) == "ab\nüber\n\nend"


def test_a_table_escapes_bars_and_fills_up_rows() -> None:
    assert markdown.table([["a", "b"], ["c|d"]]) == "| a | b |\n| --- | --- |\n| c\\|d |  |"


def test_stray_emphasis_stays_on_its_label_only() -> None:
    words = "a line that was never meant to stand out at all"
    assert markdown.fix_markdown(f"- **Name: {words}** more") == f"- **Name:** {words} more"
    assert markdown.fix_markdown(f"So *{words}* is.") == f"So {words} is."
    assert markdown.fix_markdown("A **short one** stays.") == "A **short one** stays."
    assert markdown.fix_markdown(f"**{words}**") == f"**{words}**"


def test_prose_in_a_code_block_is_set_free_and_code_is_not() -> None:
    prose = "\n".join(["These are words of a sentence that simply goes on and on"] * 6)
    code = "```\ndef f(x):\n    return {x: 1}\n```"
    assert "```" not in markdown.fix_markdown(f"```text\n{prose}\n```")
    assert markdown.fix_markdown(code) == code
    assert markdown.fix_markdown("```text\n\n```") == ""


def test_what_looks_like_the_mark_between_pages_is_no_part_of_one() -> None:
    assert markdown.fix_markdown("above\n\n---\n\nbelow") == "above\n\nbelow"


def test_a_pdf_cut_off_in_the_middle_keeps_its_whole_pages(tmp_path: Path) -> None:
    whole = documents.pdf("First page.", "Second page.", "Third page.")
    path = tmp_path / "cut"
    path.write_bytes(whole[: whole.index(b"Third page")].replace(b"/Catalog", b"/Katalog"))
    written = registry.load_converter(documents.PDF)(path, EngineLimits(), lambda *_: None)
    assert written.pages[:2] == ["First page.", "Second page."]
    assert written.model.endswith("+repaired")


def test_nothing_is_mended_where_no_page_is_left(tmp_path: Path) -> None:
    path = tmp_path / "noise"
    path.write_bytes(b"%PDF-1.4\n1 0 obj\n<< /Type /Font >>\nendobj\n")
    with pdf_repair.repaired_copy(path) as mended:
        assert mended is None


def test_equations_become_latex() -> None:
    def run(text: str) -> str:
        return f"<m:r><m:t>{text}</m:t></m:r>"

    inner = (
        f"<m:f><m:num>{run('a')}</m:num><m:den>{run('2')}</m:den></m:f>"
        f"<m:sSup><m:e>{run('x')}</m:e><m:sup>{run('n')}</m:sup></m:sSup>"
        f"<m:rad><m:deg/><m:e>{run('π')}</m:e></m:rad>"
    )
    assert (
        latex(ET.fromstring(f'<m:oMath xmlns:m="{MATH}">{inner}</m:oMath>'))
        == r"\frac{a}{2}x^{n}\sqrt{\pi}"
    )


def test_an_equation_nested_without_end_is_cut_off() -> None:
    depth = 500
    inner = "<m:e>" * depth + "<m:r><m:t>x</m:t></m:r>" + "</m:e>" * depth
    assert latex(ET.fromstring(f'<m:oMath xmlns:m="{MATH}">{inner}</m:oMath>')) == ""


def test_archives_with_too_many_or_locked_entries_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.write_bytes(
        documents.zip_of({f"{n}.xml": "" for n in range(archives.MAX_ENTRIES)} | {"m": ""})
    )
    with pytest.raises(Unconvertible) as caught:
        archives.check_archive(path, "m", "DOCX")
    assert caught.value.code == "too_large"


def test_scratch_dirs_of_dead_engines_are_removed_and_those_of_live_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    abandoned, young, living, ahead = (tmp_path / f"{staging.PREFIX}{n}" for n in "abcd")
    for path in (abandoned, young, living, ahead):
        path.mkdir()
    future = time.time() + 400 * 24 * 3600  # by a clock that was ahead
    os.utime(ahead, (future, future))
    for path in (abandoned, living):
        os.utime(path, (0, 0))
    held = os.open(living, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    room = staging.ScratchDir()
    assert not abandoned.exists()
    assert not ahead.exists()
    assert young.exists()
    assert living.exists()
    os.close(held)
    room.close()
    assert not room.path.exists()
