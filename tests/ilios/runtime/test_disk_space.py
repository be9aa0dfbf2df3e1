"""The reserve of free disk space, and how often the volumes are read."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from actors.ports import StorageFull
from ilios.runtime import disk_space as module
from ilios.runtime.disk_space import BLOBS, DiskGuard, Shortage, Volume

MIB = 1024 * 1024
RESERVE = 10 * MIB
DIRECTORIES = {BLOBS: Path("b"), "database": Path("d"), "bus": Path("n")}


class Machine:
    """A machine with any number of volumes; ``times`` counts the readings."""

    def __init__(self, **free: int) -> None:
        self.free = free
        self.files: int | None = None
        self.devices = {"b": 1, "d": 1, "n": 1}
        self.times = 0

    def ask(self, path: Path) -> Volume | None:
        self.times += path == DIRECTORIES[BLOBS]
        return Volume(self.devices[str(path)], self.free[str(path)], self.files)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Advance the clock, so that the volumes are read again."""
    now = [1000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def pass_time() -> None:
        now[0] += 2 * module.REFRESH_INTERVAL

    return pass_time


def test_a_document_that_leaves_the_reserve_free_is_accepted() -> None:
    machine = Machine(b=RESERVE + 100, d=RESERVE, n=RESERVE)
    machine.devices |= {"d": 2, "n": 3}
    room = DiskGuard(DIRECTORIES, RESERVE, stat_volume=machine.ask)
    room.check()
    room.check(100)
    with pytest.raises(StorageFull, match="reserved for accepted documents"):
        room.check(101)


@pytest.mark.parametrize("place", ["b", "d", "n"])
def test_any_full_volume_refuses_all_documents(place: str) -> None:
    machine = Machine(b=RESERVE, d=RESERVE, n=RESERVE)
    machine.devices |= {"d": 2, "n": 3}
    machine.free[place] -= 1
    room = DiskGuard(DIRECTORIES, RESERVE, stat_volume=machine.ask)
    with pytest.raises(StorageFull, match="9 MB are free"):
        room.check()
    (shortage,) = room.shortages
    assert DIRECTORIES[shortage.places[0]] == Path(place)


def test_incoming_bytes_count_only_on_the_volume_of_the_blobs() -> None:
    machine = Machine(b=RESERVE + MIB, d=RESERVE, n=RESERVE)
    machine.devices |= {"d": 2, "n": 3}
    DiskGuard(DIRECTORIES, RESERVE, stat_volume=machine.ask).reserve(MIB)


def test_directories_on_one_volume_are_reported_once() -> None:
    machine = Machine(b=MIB, d=MIB, n=MIB)
    found = DiskGuard(DIRECTORIES, RESERVE, stat_volume=machine.ask).shortages
    reason = "1 MB are free, and 10 are reserved for accepted documents"
    assert found == [Shortage((BLOBS, "database", "bus"), reason)]


def test_received_bytes_count_before_the_system_reports_them(later: Callable[[], None]) -> None:
    machine = Machine(b=RESERVE + 3 * MIB, d=RESERVE + 3 * MIB, n=RESERVE + 3 * MIB)
    room = DiskGuard(DIRECTORIES, RESERVE, stat_volume=machine.ask)
    for _ in range(3):
        room.reserve(MIB)
    with pytest.raises(StorageFull):
        room.reserve(1)
    assert machine.times == 1
    later()  # somebody has made room meanwhile
    room.reserve(3 * MIB)


def test_free_space_is_read_at_intervals(later: Callable[[], None]) -> None:
    machine = Machine(b=0, d=0, n=0)
    room = DiskGuard(DIRECTORIES, RESERVE, stat_volume=machine.ask)
    for _ in range(100):
        with pytest.raises(StorageFull):
            room.check()
    assert machine.times == 1
    machine.free = dict.fromkeys("bdn", RESERVE)
    later()
    room.check()
    assert room.shortages == []
    assert machine.times == 2


def test_a_volume_without_free_inodes_is_full() -> None:
    machine = Machine(b=2**40, d=2**40, n=2**40)
    machine.files = module.MIN_FREE_FILES
    DiskGuard(DIRECTORIES, RESERVE, stat_volume=machine.ask).check()
    machine.files -= 1
    with pytest.raises(StorageFull, match="no more than 999 files"):
        DiskGuard(DIRECTORIES, RESERVE, stat_volume=machine.ask).check()


def test_a_missing_directory_refuses_nothing(tmp_path: Path) -> None:
    assert Volume.of(tmp_path / "gone") is None
    DiskGuard({BLOBS: tmp_path / "gone"}, 2**62).check()


def test_the_free_space_of_a_real_volume_is_read(tmp_path: Path) -> None:
    found = Volume.of(tmp_path)
    assert found is not None
    assert (found.device, found.free > 0) == (tmp_path.stat().st_dev, True)
    with pytest.raises(StorageFull):
        DiskGuard({BLOBS: tmp_path}, 2**62).check()
