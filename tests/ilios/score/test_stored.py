"""Stored runs and what a later one does worse."""

from pathlib import Path

import pytest

from ilios.score.stored import (
    CannotRead,
    StoredDocument,
    StoredRun,
    improvements,
    read,
    regressions,
    write,
)


def a_run(**members: object) -> StoredRun:
    usual: dict[str, object] = {
        "scores": {"sim": 0.9}, "held": ("contains: a", "rows: 2"), "kept": {"1": 1.0},
    }  # fmt: skip
    return StoredRun({"a.pdf": StoredDocument(**{**usual, **members})})  # type: ignore[arg-type]


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    write(tmp_path / "run.json", a_run())
    assert read(tmp_path / "run.json") == a_run()


def test_a_file_that_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(CannotRead, match="is not a stored run"):
        read(tmp_path / "run.json")
    with pytest.raises(CannotRead, match="No such file"):
        read(tmp_path / "other.json")


@pytest.mark.parametrize(
    ("after", "line"),
    [
        (a_run(scores={"sim": 0.85}), "a.pdf: sim falls from 0.900 to 0.850"),
        (a_run(scores={}), "a.pdf: sim falls from 0.900 to 0.000"),
        (a_run(held=("rows: 2",)), "a.pdf: no longer: contains: a"),
        (a_run(kept={"1": 0.5}), "a.pdf: words kept of page 1 fall from 1.000 to 0.500"),
        (a_run(refusal="Too large."), "a.pdf: is refused: Too large."),
    ],
)
def test_everything_that_gets_worse_is_listed(after: StoredRun, line: str) -> None:
    assert list(regressions(a_run(), after)) == [line]


def test_noise_gains_and_other_documents_are_no_regressions() -> None:
    after = a_run(scores={"sim": 0.899}, held=("contains: a", "rows: 2", "tables: 1"))
    after.documents["b.pdf"] = StoredDocument()
    assert list(regressions(a_run(), after)) == []
    assert improvements(a_run(), after) == 1
