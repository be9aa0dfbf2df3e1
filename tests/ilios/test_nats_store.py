"""What the log may have of its volume."""

from pathlib import Path

import pytest

from ilios import nats_store


def test_the_log_is_full_before_the_volume_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"x" * 1000)
    free = 10 * 1024**3
    monkeypatch.setattr(nats_store, "free", lambda _: free)
    assert nats_store.limit(tmp_path) == 1000 + free // 2
    free = 0
    assert nats_store.limit(tmp_path) == nats_store.MIN_STORE_BYTES
    free = 1024**5
    assert nats_store.limit(tmp_path) == nats_store.MAX_STORE_BYTES


def test_a_log_may_grow_by_half_of_what_others_have_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "x").open("wb") as file:
        file.truncate(10**9)
    monkeypatch.setattr(nats_store, "free", lambda _: 1000)
    assert nats_store.limit(tmp_path) == 10**9 + 500


def test_what_is_free_is_asked_of_the_volume(tmp_path: Path) -> None:
    assert nats_store.free(tmp_path) > 0
