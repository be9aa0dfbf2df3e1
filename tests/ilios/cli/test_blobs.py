"""`ilios blobs move` refuses what it cannot do, and moves into a directory."""

import asyncio
from pathlib import Path

import pytest

from ilios.__main__ import main
from ilios.blobs.local import LocalBlobs
from ilios.cli import ExitCode
from tests.ilios.blobs.contents import read_blob

KEY = "originals/default/abc"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with one blob."""
    directory = tmp_path / "data"
    monkeypatch.setenv("ILIOS_DATA_DIR", str(directory))
    monkeypatch.setenv("ILIOS_INSECURE", "true")

    async def fill() -> None:
        async with LocalBlobs.open(directory / "blobs") as blobs:
            await blobs.put_bytes(KEY, b"an original")

    asyncio.run(fill())
    return directory


@pytest.mark.parametrize(
    ("to", "what"),
    [
        (["s3"], "S3_BUCKET is not set"),
        (["directory", "nowhere"], "there is no directory"),
        (["directory", "data/blobs/00"], "lie within each other"),
        (["s3", "there"], "--to takes"),
        (["tape"], "--to takes"),
    ],
)
def test_what_names_no_other_store_is_refused(
    data: Path,
    to: list[str],
    what: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(data.parent)
    assert main(["blobs", "move", "--to", *to]) == ExitCode.USAGE
    assert what in capsys.readouterr().err
    assert not (data / "blobs.move").exists()


def test_blobs_move_into_a_directory_and_stay_until_they_are_to_be_removed(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    move = ["blobs", "move", "--to", "directory", str(shared)]
    assert main(move) == ExitCode.OK
    assert "1 blobs (0.0 MiB), proven by SHA-256, of" in capsys.readouterr().out
    assert any((data / "blobs").glob("??/*"))
    mounted = shared.rename(tmp_path / "elsewhere")
    shared.mkdir()
    assert main([*move, "--remove-source"]) == ExitCode.USAGE
    assert "is its volume mounted?" in capsys.readouterr().err
    assert any((data / "blobs").glob("??/*"))
    shared.rmdir()
    mounted.rename(shared)
    assert main([*move, "--remove-source"]) == ExitCode.OK
    assert "A former run has proven" in capsys.readouterr().out
    assert not (data / "blobs").exists()

    async def read() -> bytes:
        async with LocalBlobs.open(shared) as blobs:
            return await read_blob(blobs, KEY)

    assert asyncio.run(read()) == b"an original"


def test_a_directory_that_a_worker_uses_is_not_moved(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()

    async def move() -> int:
        async with LocalBlobs.open(data / "blobs"):
            command = ["blobs", "move", "--to", "directory", str(shared)]
            return await asyncio.to_thread(main, command)

    assert asyncio.run(move()) == ExitCode.USAGE
    assert "1 processes use" in capsys.readouterr().err
    assert not any(shared.iterdir())
