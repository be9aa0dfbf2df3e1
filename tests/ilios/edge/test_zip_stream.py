"""An archive that is made while it is sent is one that every program can read."""

import asyncio
import io
import threading
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from ilios.edge.batch_downloads import ZipEntry, entry_name, stream_zip

CHANGED = datetime(2026, 1, 15, 10, 30, 7, tzinfo=UTC)


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _entries(*entries: ZipEntry) -> AsyncIterator[ZipEntry]:
    for entry in entries:
        yield entry


async def _take(body: bytearray, *entries: ZipEntry) -> None:
    async for piece in stream_zip(_entries(*entries)):
        body += piece


async def _archive(*entries: ZipEntry) -> zipfile.ZipFile:
    body = bytearray()
    await _take(body, *entries)
    archive = zipfile.ZipFile(io.BytesIO(body))
    assert archive.testzip() is None
    return archive


async def test_contents_come_out_as_they_went_in() -> None:
    archive = await _archive(
        ZipEntry("a.md", CHANGED, 6, _pieces(b"one", b"two")),
        ZipEntry("leer.md", CHANGED, 0, _pieces()),
        ZipEntry("größe.md", CHANGED, 3, _pieces(b"\0\1\2")),
    )
    assert archive.namelist() == ["a.md", "leer.md", "größe.md"]
    assert [archive.read(name) for name in archive.namelist()] == [b"onetwo", b"", b"\0\1\2"]
    for entry in archive.infolist():
        assert entry.date_time == (2026, 1, 15, 10, 30, 6), "in steps of two seconds"
        assert entry.external_attr >> 16 == 0o100644
        assert entry.flag_bits & 0x08, "sizes follow the content"


async def test_an_archive_of_nothing_is_an_archive() -> None:
    assert (await _archive()).namelist() == []


async def test_an_entry_that_may_be_very_large_is_written_so_that_it_may() -> None:
    archive = await _archive(ZipEntry("large.md", CHANGED, 5 * 2**30, _pieces(b"not yet")))
    assert archive.read("large.md") == b"not yet"


async def test_a_time_before_the_format_began_is_moved_to_its_beginning() -> None:
    archive = await _archive(ZipEntry("a.md", datetime(1970, 1, 2, tzinfo=UTC), 0, _pieces()))
    assert archive.getinfo("a.md").date_time[:3] == (1980, 1, 2)


async def test_an_archive_whose_content_fails_has_no_directory() -> None:
    async def fails() -> AsyncIterator[bytes]:
        yield bytes(1_000_000)
        raise OSError("disk")

    body = bytearray()
    with pytest.raises(OSError, match="disk"):
        await _take(body, ZipEntry("a.md", CHANGED, 1_000_000, fails()))
    assert body
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(body))


async def test_a_cancelled_download_waits_for_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()
    crc32 = zipfile.crc32  # type: ignore[attr-defined]

    def slow(data: bytes, value: int = 0) -> int:
        begun.set()
        assert go_on.wait(10)
        return int(crc32(data, value))

    monkeypatch.setattr(zipfile, "crc32", slow)
    entry = ZipEntry("a.md", CHANGED, 9, _pieces(b"a" * 9))
    taking = asyncio.create_task(_take(bytearray(), entry))
    await asyncio.to_thread(begun.wait)
    taking.cancel()
    done, _ = await asyncio.wait({taking}, timeout=0.05)
    assert not done, "the thread still writes"
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await taking


@pytest.mark.parametrize(
    ("file_name", "name"),
    [
        ("paper.pdf", "007-paper.md"),
        ("../../etc/passwd", "007-passwd.md"),
        ("a/b\\c.pdf", "007-c.md"),
        ('<>:"|?*.pdf', "007-_______.md"),
        (".pdf", "007-pdf.md"),
        ("...", "007-document.md"),
        ("trailing. .pdf", "007-trailing.md"),
        ("x" * 300, f"007-{'x' * 100}.md"),
        ("e\u0301\u202e\0\n.docx", "007-é.md"),
    ],
)
def test_the_name_of_an_entry_is_fit_for_every_system(file_name: str, name: str) -> None:
    assert entry_name(7, file_name, "md") == name
