"""Documents to score and the files beside them."""

import json
from pathlib import Path

import pytest

from ilios.score.documents import NoDocuments, find_documents, read_corpus
from ilios.score.expectations import BadExpectation


def test_documents_are_found_with_the_files_beside_them(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(b"%PDF-1.7")
    (folder / "a.expect").write_text("rows: 2\n")
    (folder / "a.md").write_text("reference of a")
    (folder / "b.PNG").write_bytes(b"\x89PNG")
    (folder / "b.PNG.expect").write_text("contains: b\npages: 1\n")
    (folder / "b.PNG.expected.md").write_text("reference of b")
    (folder / "notes.txt").write_text("no document")
    a, b = find_documents(tmp_path)
    assert (a.name, a.kind, a.reference) == ("tables/a.pdf", "tables", "reference of a")
    assert [str(one) for one in a.expectations] == ["rows: 2"]
    assert (b.name, b.reference, len(b.expectations)) == ("tables/b.PNG", "reference of b", 2)


def test_a_directory_without_documents_and_a_bad_expectation_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NoDocuments):
        find_documents(tmp_path)
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7")
    (tmp_path / "a.expect").write_text("has: words\n")
    with pytest.raises(BadExpectation, match=r"a\.expect, line 1"):
        find_documents(tmp_path)


def test_a_corpus_is_read_by_its_manifest(tmp_path: Path) -> None:
    entries = [
        {"path": "docs/one.pdf", "kind": "text", "gt": "gt/one.md"},
        {"path": "docs/set__two.pdf", "kind": "table", "gt": "gt/checks.jsonl"},
        {"path": "docs/three.pdf", "kind": "text", "gt": None},
    ]
    checks = [
        {"pdf": "two.pdf", "type": "present", "text": "fee", "max_diffs": 1},
        {"pdf": "two.pdf", "type": "order", "before": "a", "after": "b"},
        {"pdf": "two.pdf", "type": "table", "cell": "12", "left": "Plover", "up": None},
        {"pdf": "two.pdf", "type": "math", "math": "x"},
        {"pdf": "other.pdf", "type": "absent", "text": "x"},
    ]
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt" / "one.md").write_text("reference")
    (tmp_path / "gt" / "checks.jsonl").write_text("\n".join(map(json.dumps, checks)))
    (tmp_path / "manifest.json").write_text(json.dumps(entries))
    one, two, three = read_corpus(tmp_path)
    assert (one.kind, one.reference, one.expectations) == ("text", "reference", ())
    assert [str(line) for line in two.expectations] == [
        "content~1: fee",
        "before: a | b",
        "cell: 12 | left=Plover",
    ]
    assert (three.reference, three.expectations) == (None, ())


def test_a_manifest_of_another_shape_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"documents": []}')
    with pytest.raises(NoDocuments, match="not a list of documents"):
        read_corpus(tmp_path)
