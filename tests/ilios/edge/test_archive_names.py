"""Names in ZIP archives: what entries declare, and the code page that all others have."""

import zipfile
import zlib

import pytest

from ilios.edge import archive_names


def entry(raw: bytes, *, flags: int = 0, extra: bytes = b"") -> zipfile.ZipInfo:
    """Return an entry as zipfile reads it."""
    info = zipfile.ZipInfo(raw.decode("utf-8" if flags else "cp437"))
    info.flag_bits, info.extra = flags, extra
    return info


def unicode_path(name: str, raw: bytes) -> bytes:
    data = b"\x01" + zlib.crc32(raw).to_bytes(4, "little") + name.encode()
    other = b"\x55\x54\x01\0\0"
    return other + b"\x75\x70" + len(data).to_bytes(2, "little") + data


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("utf-8", ["Größe.pdf", "отчёт.pdf", "報告.pdf"]),
        ("cp437", ["Größe.pdf", "Übersicht.txt", "été.pdf"]),
        ("cp437", ["Ü.pdf"]),
        ("cp850", ["São Paulo.pdf", "Área.txt"]),
        ("cp852", ["Dopis příteli.pdf", "łąka.txt"]),
        ("cp866", ["привет.md", "Отчёт за март.docx"]),
        ("cp866", ["план"]),
        ("cp1251", ["Договор № 5.pdf", "письмо_final_v2.docx"]),
        ("cp1251", ["план"]),
        ("cp1252", ["Größe.pdf", "São Paulo.pdf", "façade.txt"]),
        ("cp932", ["見積書.pdf", "新しいフォルダー/テスト.txt"]),
        ("cp932", ["履歴書.pdf"]),
        ("gbk", ["新建文本文档.txt", "会议记录.docx"]),
        ("gbk", ["图片.jpg"]),
        ("cp949", ["보고서.docx", "새 폴더/사진.jpg"]),
        ("big5", ["會議記錄.docx", "台北.txt"]),
    ],
)
def test_names_without_a_declared_encoding_are_in_that_in_which_they_look_like_names(
    encoding: str, names: list[str]
) -> None:
    entries = [entry(name.encode(encoding)) for name in ("plain.txt", *names)]
    assert archive_names.names(entries) == ["plain.txt", *names]


def test_what_looks_like_no_name_is_in_the_code_page_of_the_format() -> None:
    raw = bytes(range(0xB0, 0xE0))
    assert archive_names.names([entry(raw)]) == [raw.decode("cp437")]


def test_a_declared_name_is_taken_and_the_others_are_read_together() -> None:
    raw = "привет".encode("cp866")
    entries = [
        entry("日本.txt".encode(), flags=archive_names.UTF_8),
        entry(raw, extra=unicode_path("日本の.txt", raw)),
        entry(raw, extra=unicode_path("of a name before", b"before")),
        entry(b"short", extra=b"\x75\x70\xff\xff\x01"),
        entry("Größe".encode("cp866", "ignore")),
    ]
    assert archive_names.names(entries) == ["日本.txt", "日本の.txt", "привет", "short", "Gre"]
