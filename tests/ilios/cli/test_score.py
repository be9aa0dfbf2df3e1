"""``ilios score`` on a small directory."""

import json
from pathlib import Path

import pytest

from ilios.__main__ import main
from tests import documents


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(documents.pdf("The fee is 12 EUR", "Second page"))
    (folder / "a.expect").write_text("page 2 contains: Second page\ncontains: 13 EUR\n")
    (folder / "a.md").write_text("The fee is 12 EUR\n\nSecond page\n")
    return folder


def test_a_directory_is_scored_with_what_is_not_as_expected(
    directory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", str(directory)]) == 0
    printed = capfd.readouterr().out
    head, line = (text.split() for text in printed.splitlines()[:2])
    cells = dict(zip(head, line, strict=True))
    assert (cells["documents"], cells["pages"], cells["expected"]) == ("1", "2", "1/2")
    assert (cells["kept"], cells["words"]) == ("100.0%", "1.000")
    assert "a.pdf: not as expected: contains: 13 EUR" in printed
    assert "2 pages with a text layer, 0 below 98 % without a warning, 0 below 80 %" in printed
    assert main(["score", "--strict", str(directory)]) == 1


def test_what_is_worse_than_a_stored_run_is_listed(
    directory: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run, poor = tmp_path / "run.json", tmp_path / "poor"
    assert main(["score", str(directory), "--store", str(run)]) == 0
    assert main(["score", str(directory), "--against", str(run)]) == 0
    assert "0 worse" in capfd.readouterr().out
    poor.mkdir()
    (poor / "a.pdf.md").write_text("The fee is 12 EUR\n\n---\n\nA page\n")
    assert main(["score", str(directory), "--against", str(run), "--markdown", str(poor)]) == 1
    printed = capfd.readouterr().out
    assert "a.pdf: no longer: page 2 contains: Second page" in printed
    assert "a.pdf: words kept of page 2 fall from 1.000 to 0.500" in printed


def test_a_gallery_shows_pages_beside_results_and_escapes_them(
    directory: Path, tmp_path: Path
) -> None:
    (directory / "b.pdf").write_bytes(documents.pdf("<script>alert(1)</script>"))
    gallery = tmp_path / "gallery"
    assert main(["score", str(directory), "--gallery", str(gallery)]) == 0
    index, first, second = (path.read_text() for path in sorted(gallery.iterdir(), reverse=True))
    first, second = second, first
    assert 'href="001-a.pdf.html"' in index
    assert first.count('src="data:image/jpeg;base64,') == 2
    assert "not as expected: contains: 13 EUR" in first
    assert "<script>" not in second
    assert "&lt;script&gt;" in second


def test_losses_alone_are_listed_on_request(
    directory: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.pdf.md").write_text("The fee is 12 EUR\n\n---\n\nSecond\n")
    arguments = ["score", "--conservation", str(directory), "--markdown", str(tmp_path)]
    assert main(arguments) == 0
    assert capfd.readouterr().out.splitlines() == [
        "a.pdf, page 2: 50.0 % of 2 words, no warning; missing: page",
        "conservation: 2 pages with a text layer, 1 below 98 % without a warning, 1 below 80 %",
    ]
    assert main([*arguments, "--strict"]) == 1


def test_wrong_usage_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(tmp_path)]) == 2
    assert "no documents in" in capfd.readouterr().err
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7")
    assert main(["score", str(tmp_path), "--only", "nothing"]) == 2
    assert main(["score", str(tmp_path), "--against", str(tmp_path / "none.json")]) == 2
    assert "cannot read" in capfd.readouterr().err
    assert main(["score", str(tmp_path), "--corpus"]) == 2
    assert "manifest.json" in capfd.readouterr().err
    assert json.dumps(sorted(path.name for path in tmp_path.iterdir())) == '["a.pdf"]'
