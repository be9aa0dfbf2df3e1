"""Locks between processes: exclusive, and released with the process."""

import subprocess
import sys
from pathlib import Path

import pytest

from ilios.runtime.locks import AlreadyInUse, exclusive_lock

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys
from pathlib import Path
from ilios.runtime.locks import exclusive_lock
with exclusive_lock(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_in_use_is_refused_with_a_hint_until_it_is_released(tmp_path: Path) -> None:
    lock = tmp_path / "new" / "lock"
    with exclusive_lock(lock, "the data directory"):
        with (
            pytest.raises(AlreadyInUse, match=r"the data directory is in use.*ILIOS_DATA_DIR"),
            exclusive_lock(lock, "the data directory"),
        ):
            pytest.fail("two hold it")
        assert lock.stat().st_mode & 0o777 == 0o600
        assert lock.parent.stat().st_mode & 0o777 == 0o700
    with exclusive_lock(lock, "it"):
        pass


def test_the_lock_of_a_killed_process_is_released(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyInUse), exclusive_lock(lock, "it"):
            pytest.fail("two hold it")
        holder.kill()
        holder.wait()
        with exclusive_lock(lock, "it"):
            pass


def test_a_child_does_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with exclusive_lock(lock, "it"):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with exclusive_lock(lock, "it"):
            pass
    finally:
        child.kill()
        child.wait()


def test_an_error_in_the_context_releases_the_lock(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), exclusive_lock(tmp_path / "lock", "it"):
        raise RuntimeError
    with exclusive_lock(tmp_path / "lock", "it"):
        pass
