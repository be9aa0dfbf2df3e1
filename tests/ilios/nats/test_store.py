"""The maximal size of the log, and damaged files of consumers."""

from pathlib import Path

import pytest

from ilios.nats import store


def test_the_log_is_full_before_the_volume_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"x" * 1000)
    free = 10 * 1024**3
    monkeypatch.setattr(store, "free", lambda _: free)
    assert store.store_limit(tmp_path) == 1000 + free // 2
    free = 0
    assert store.store_limit(tmp_path) == store.MIN_STORE_BYTES
    free = 1024**5
    assert store.store_limit(tmp_path) == store.MAX_STORE_BYTES


def test_a_log_may_grow_by_half_of_the_free_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "x").open("wb") as file:
        file.truncate(10**9)
    monkeypatch.setattr(store, "free", lambda _: 1000)
    assert store.store_limit(tmp_path) == 10**9 + 500


def test_free_space_is_that_of_the_volume(tmp_path: Path) -> None:
    assert store.free(tmp_path) > 0


def test_only_files_of_consumers_in_the_store_are_removed(tmp_path: Path) -> None:
    """Names in the server's log are whatever somebody has called a consumer."""
    directory = tmp_path / "store"
    spoilt = directory / "jetstream" / "ILIOS" / "streams" / "EVENTS" / "obs" / "ocr-low" / "o.dat"
    outside = tmp_path / "meta.inf"
    spoilt.parent.mkdir(parents=True)
    for path in (spoilt, outside):
        path.write_bytes(b"foo")
    added = "[WRN] Error adding consumer 'ILIOS > EVENTS > ocr-low': "
    lines = [
        f"{added}error creating store for consumer: corrupt state file (10104)",
        f"{added}stream not valid (10096)",
        f'[WRN] Error unmarshalling consumer metafile "{outside}": unknown field "foo"',
        "[INF] Server is ready",
    ]
    found = {one for line in lines if (one := store.corrupt_file_in(line, directory))}
    assert found == {spoilt, outside}
    store.remove_corrupt(found, directory)
    assert (spoilt.exists(), outside.exists()) == (False, True)
