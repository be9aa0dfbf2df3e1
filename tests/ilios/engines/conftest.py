"""Documents on disk, and a check that no test leaves a child process behind."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors.engines import SourceFile

PlaceDocument = Callable[[bytes, str], SourceFile]


@pytest.fixture
def place_document(tmp_path: Path) -> PlaceDocument:
    """Return a function that stores bytes under a name without an extension, like blobs."""

    def place(data: bytes, content_type: str) -> SourceFile:
        sha256 = hashlib.sha256(data).hexdigest()
        path = tmp_path / sha256[:24]
        path.write_bytes(data)
        return SourceFile(path, content_type, sha256)

    return place


@pytest.fixture(autouse=True)
def no_leaked_children() -> Iterator[None]:
    """Fail a test that leaves a child process, running or a zombie."""
    before = _children()
    yield
    assert _children() <= before


def _children() -> set[str]:
    pid = os.getpid()
    listed = (Path(f"/proc/{pid}/task/{task}/children") for task in os.listdir(f"/proc/{pid}/task"))
    found: set[str] = set()
    for path in listed:
        with contextlib.suppress(FileNotFoundError):  # a thread that is gone has no children
            found |= set(path.read_text().split())
    return found
