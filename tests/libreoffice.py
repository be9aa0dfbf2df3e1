"""LibreOffice of the machine, for documents in old formats: outside the sandbox."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ilios.engines.converters.old_office import libreoffice
from ilios.engines.sandbox import enter

PROGRAM = libreoffice.find(os.environ.get("ILIOS_LIBREOFFICE", libreoffice.AUTO))
needs_libreoffice = pytest.mark.skipif(PROGRAM is None, reason="LibreOffice is not installed")
needs_a_sandbox = pytest.mark.skipif(bool(enter.missing_features()), reason="no whole sandbox")

NEVER, ALWAYS = "0", "4"
"""Constants of com.sun.star.document.MacroExecMode."""

_PROGRAM_TEXT = """
import os, sys
from pathlib import Path
from ilios.engines.converters.old_office import libreoffice, macro
program, source, target, read, write, macros, *changes = sys.argv[1:]
assert macro.MACROS == 0 == macro.UPDATE
macro.MACROS = int(macros)
for old, new in zip(changes[::2], changes[1::2]):
    assert old in macro._TEXT
    macro._TEXT = macro._TEXT.replace(old, new)
filters = macro.Filters(read, write)
done = libreoffice.save_as(Path(program), Path(source), Path(target), filters)
sys.stdout.flush()
os._exit(0 if done else 1)
"""


def saved(
    folder: Path,
    data: bytes,
    read: str,
    write: str,
    macros: str = NEVER,
    changes: tuple[str, ...] = (),
) -> bytes:
    """Return a document as LibreOffice saves it in another format.

    :param macros: whether those of the document are executed.
    :param changes: pairs of texts: parts of the macro that saves it, and what replaces them.
    """
    place = folder / f"{len(list(folder.iterdir()))}"
    place.mkdir()
    (place / "source").write_bytes(data)
    paths = [str(PROGRAM), str(place / "source"), str(place / "saved")]
    command = [sys.executable, "-c", _PROGRAM_TEXT, *paths, read, write, macros, *changes]
    subprocess.run(command, cwd=place, check=True, timeout=60)
    return (place / "saved").read_bytes()
