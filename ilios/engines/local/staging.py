"""How a child gets the one document it is to read, and nothing else of the store."""

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

DOCUMENT_NAME = "document"
COPY_BYTES = 1024 * 1024
"""Bytes that are copied between two looks at whether anybody still wants them."""


class StagingDir:
    """A directory in which one document at a time lies for one child.

    As a second name of the file where that can be, which costs nothing however large it is: the
    child may open it for reading only, and is refused the calls that change a file by its name.
    From another volume, or of another owner, it is copied.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    async def stage(self, source: Path) -> Path:
        """Lay a document there; returns its path.

        :raises OSError: it cannot be read, or there is no room for the copy.
        """
        self.clear()
        target = self.path / DOCUMENT_NAME
        real = _linked(source, target)
        if real is None:
            return target
        wanted = True

        def copy() -> None:
            # "x": what lay there might be the second name of a blob, and would be overwritten.
            with open(real, "rb") as original, open(target, "xb") as copied:
                while wanted and (piece := original.read(COPY_BYTES)):
                    copied.write(piece)

        try:
            await asyncio.to_thread(copy)
        finally:
            wanted = False
        return target

    def clear(self) -> None:
        """Take the document away again."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path / DOCUMENT_NAME)

    def remove(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.path, ignore_errors=True)


def _linked(source: Path, place: Path) -> str | None:
    """Give the file a second name, or return the path from which it has to be copied."""
    real = os.path.realpath(source, strict=True)  # of a link, the file is to get the name
    if os.stat(real).st_uid == os.geteuid():
        with contextlib.suppress(OSError):
            os.link(real, place)
            return None
    return real
