"""A service starts on the store that has all blobs, whatever the stage of a move is."""

from pathlib import Path

import pytest

from actors.ports import StorageMisconfigured
from ilios.blobs.move_record import (
    RECORD_FILE,
    MoveRecord,
    Stage,
    ensure_complete_store,
    read_record,
    record_start,
    write_record,
)


def recorded(data: Path, stage: Stage) -> Path:
    """Write the record of a move at this stage; return its source."""
    write_record(data, MoveRecord(str(data / "blobs"), "bucket documents", stage))
    return data / "blobs"


@pytest.mark.parametrize(
    ("stage", "refused_on_source"), [(Stage.COPYING, False), (Stage.LEFT, True)]
)
def test_a_start_on_the_store_without_all_blobs_is_refused(
    tmp_path: Path, *, stage: Stage, refused_on_source: bool
) -> None:
    source = recorded(tmp_path, stage)
    complete, other = (None, source) if refused_on_source else (source, None)
    ensure_complete_store(tmp_path, complete)
    with pytest.raises(StorageMisconfigured, match="settings of"):
        ensure_complete_store(tmp_path, other)


@pytest.mark.parametrize(("on_source", "stage"), [(True, Stage.COPYING), (False, Stage.LEFT)])
def test_after_a_start_on_one_store_the_other_has_not_all_blobs(
    tmp_path: Path, *, on_source: bool, stage: Stage
) -> None:
    source = recorded(tmp_path, Stage.PROVEN)
    record_start(tmp_path, source if on_source else None)
    found = read_record(tmp_path)
    assert found is not None
    assert found.stage is stage


def test_a_damaged_record_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / RECORD_FILE).write_text("{")
    with pytest.raises(StorageMisconfigured, match=r"blobs\.move cannot be read"):
        ensure_complete_store(tmp_path, None)
