"""Converters: corrections of Markdown, repair of PDFs, checks of archives."""

from pathlib import Path

import pytest

from actors.engines import Unconvertible
from ilios.engines.converters import archives, markdown, registry
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pdf import repair
from tests import documents


def test_text_is_cleaned_of_controls_and_composed() -> None:
    raw = "a\x00b\x07 \r\nu\u0308ber\ufeff\ud800  \n\n\n\nend\x0c\n"
    assert markdown.clean(raw) == "ab\nüber\n\nend"


def test_a_table_escapes_bars_and_fills_up_rows() -> None:
    assert markdown.table([["a", "b"], ["c|d"]]) == "| a | b |\n| --- | --- |\n| c\\|d |  |"


def test_the_complete_pages_of_a_truncated_pdf_are_converted(tmp_path: Path) -> None:
    whole = documents.pdf("First page.", "Second page.", "Third page.")
    path = tmp_path / "cut"
    path.write_bytes(whole[: whole.index(b"Third page")].replace(b"/Catalog", b"/Katalog"))
    pages = registry.load_converter(documents.PDF)(path, EngineLimits(), lambda *_: None)
    assert [page.result.markdown for page in pages.pages[:2]] == ["First page.", "Second page."]
    assert pages.model.endswith("+repaired")


def test_a_pdf_without_complete_pages_is_not_repaired(tmp_path: Path) -> None:
    path = tmp_path / "noise"
    path.write_bytes(b"%PDF-1.4\n1 0 obj\n<< /Type /Font >>\nendobj\n")
    with repair.repaired_copy(path) as repaired:
        assert repaired is None


def test_archives_with_too_many_or_locked_entries_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.write_bytes(
        documents.zip_of({f"{n}.xml": "" for n in range(archives.MAX_ENTRIES)} | {"m": ""})
    )
    with pytest.raises(Unconvertible) as caught:
        archives.check_archive(path, "m", "DOCX")
    assert caught.value.code == "too_large"
