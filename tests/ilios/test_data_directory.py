"""The data directory has the version that wrote to it, and an older one does not open it."""

from pathlib import Path

import pytest

from ilios import __version__
from ilios.data_directory import NewerData, check_version, write_version


def test_the_version_is_written_for_the_owner_alone(tmp_path: Path) -> None:
    write_version(tmp_path)
    path = tmp_path / "version"
    assert path.read_text() == f"{__version__}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    check_version(tmp_path)


def test_an_older_version_is_replaced_and_the_same_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "version"
    path.write_text("0.1.0\n")
    check_version(tmp_path)
    write_version(tmp_path)
    assert path.read_text() == f"{__version__}\n"
    before = path.stat().st_ino
    write_version(tmp_path)
    assert path.stat().st_ino == before


def test_a_directory_without_version_is_one_of_before_there_was_any(tmp_path: Path) -> None:
    check_version(tmp_path)


@pytest.mark.parametrize("newer", ["1.0.0", "0.99.1", "0.10.0.dev1"])
def test_the_directory_of_a_newer_version_is_refused(tmp_path: Path, newer: str) -> None:
    (tmp_path / "version").write_text(f"{newer}\n")
    with pytest.raises(NewerData, match=rf"newer ilios \({newer}, this is {__version__}\)"):
        check_version(tmp_path)


def test_a_newer_patch_or_an_unreadable_version_is_no_obstacle(tmp_path: Path) -> None:
    major, minor, _ = __version__.split(".")
    for text in (f"{major}.{minor}.99\n", "", "\xff"):
        (tmp_path / "version").write_text(text, encoding="latin-1")
        check_version(tmp_path)
