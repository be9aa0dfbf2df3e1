"""Small volumes for one test, filled to the last byte and freed again."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1024 * 1024
_FILLER = "filler"


@contextmanager
def small_volume(directory: Path, megabytes: int) -> Iterator[Path]:
    """Lend a volume of so many megabytes, mounted on ``directory``; skip where none can be."""
    directory.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs"]
    try:
        made = subprocess.run([*command, str(directory)], capture_output=True, check=False)
    except OSError as error:
        pytest.skip(f"no volume can be mounted here: {error}")
    if made.returncode:
        pytest.skip(f"no volume can be mounted here: {made.stderr.decode().strip()}")
    try:
        yield directory
    finally:
        # Lazily: what still has a file open there must not keep it mounted.
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(directory: Path) -> None:
    """Fill the volume to the last byte; again where something was freed."""
    with (directory / _FILLER).open("ab", buffering=0) as file:
        for chunk in (MIB, 4096, 1):
            try:
                while file.write(b"x" * chunk) == chunk:
                    pass
            except OSError:
                continue


def free(directory: Path) -> None:
    """Free what ``fill`` has taken."""
    (directory / _FILLER).unlink()
