"""OpenDocument spreadsheets as files: ZIP archives of parts, or one XML text (``.fods``)."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from zipfile import BadZipFile, ZipFile

from actors.engines import Unconvertible
from ilios.engines.converters.archives import check_archive

KIND = "ODS"
CONTENT, MANIFEST = "content.xml", "META-INF/manifest.xml"
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
_FLAT_STARTS = (b"<", b"\xef\xbb\xbf<")


class SpreadsheetFile:
    """An open file; ``archive`` is None if it is one XML text."""

    def __init__(self, path: Path, archive: ZipFile | None) -> None:
        self._path = path
        self._archive = archive

    @contextmanager
    def content(self) -> Iterator[IO[bytes]]:
        """Open the content.

        :raises Unconvertible: ``corrupt``, it cannot be opened.
        """
        if self._archive is None:
            with self._path.open("rb") as stream:
                yield stream
            return
        try:
            opened = self._archive.open(CONTENT)
        except (BadZipFile, NotImplementedError) as error:
            raise damaged() from error
        with opened as stream:
            yield stream

    def read(self, name: str) -> bytes | None:
        """Return a part; empty if there is none, None if it is damaged."""
        if self._archive is None or name not in self._archive.NameToInfo:
            return b""
        try:
            return self._archive.read(name)
        except (BadZipFile, NotImplementedError, EOFError, zlib.error):
            return None


@contextmanager
def open_spreadsheet(path: Path) -> Iterator[SpreadsheetFile]:
    """Open a file whose archive can be read safely.

    :raises Unconvertible: ``corrupt``, ``too_large``, ``password_protected``.
    """
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(_FLAT_STARTS):
        yield SpreadsheetFile(path, None)
        return
    check_archive(path, CONTENT, KIND)
    with ZipFile(path) as archive:
        opened = SpreadsheetFile(path, archive)
        manifest = opened.read(MANIFEST) or b""  # it is not needed otherwise
        if b"encryption-data" in manifest[:MAX_MANIFEST_BYTES]:
            raise Unconvertible(
                "password_protected",
                f"The {KIND} file is protected by a password; remove it and submit again.",
            )
        yield opened


def damaged() -> Unconvertible:
    """Return the refusal of a file whose content cannot be read."""
    return Unconvertible("corrupt", f"The {KIND} file is damaged: its sheets cannot be read.")
