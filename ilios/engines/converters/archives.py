"""Checks of Office files, which are ZIP archives, before anything is unpacked."""

from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

from actors.engines import Unconvertible
from ilios.engines.local.limits import MIB

MAX_ENTRIES = 20_000
MAX_UNPACKED_BYTES = 512 * MIB
MAX_XML_BYTES = 128 * MIB
"""Size limit of an XML part; its tree takes ten times as much memory."""

MAX_RATIO = 200
RATIO_FROM_BYTES = 64 * MIB
"""Smaller parts may have any compression ratio: XML repeats itself, as sheets of equal rows do."""

MAX_SHOWN_NAME = 100
"""Characters of the name of a part in a sentence."""

OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def check_archive(path: Path, main_part: str, kind: str) -> None:
    """Make sure that the archive can be read safely and contains ``main_part``.

    Declared sizes can be relied on: :mod:`zipfile` raises an error beyond them.

    :param kind: the file type as in error messages.
    :raises Unconvertible: ``corrupt``, ``too_large``, ``password_protected``.
    """
    with path.open("rb") as file:
        if file.read(len(OLE_MAGIC)) == OLE_MAGIC:
            raise Unconvertible(
                "password_protected",
                f"The {kind} file is protected by a password or is of an old format; "
                f"save it as an unprotected {kind} file and submit again.",
            )
    try:
        with ZipFile(path) as archive:
            entries = archive.infolist()
            if any(entry.flag_bits & 1 for entry in entries):
                raise Unconvertible(
                    "password_protected",
                    f"The {kind} file is protected by a password; remove it and submit again.",
                )
            names = {entry.filename for entry in entries}
    except BadZipFile as error:
        raise Unconvertible("corrupt", f"The {kind} file is damaged: it is incomplete.") from error
    if main_part not in names:
        raise Unconvertible("corrupt", f"The {kind} file is damaged: its text is missing.")
    _check_sizes(entries, kind)


def _check_sizes(entries: list[ZipInfo], kind: str) -> None:
    refused = f"The {kind} file unpacks to more than is allowed: "
    if len(entries) > MAX_ENTRIES:
        raise Unconvertible(
            "too_large", f"{refused}it has {len(entries)} parts, of {MAX_ENTRIES} that it may have."
        )
    if (unpacked := sum(entry.file_size for entry in entries)) > MAX_UNPACKED_BYTES:
        raise Unconvertible(
            "too_large", f"{refused}{unpacked} bytes, of {MAX_UNPACKED_BYTES} that it may have."
        )
    for entry in entries:
        allowed = max(RATIO_FROM_BYTES, MAX_RATIO * entry.compress_size)
        if entry.filename.endswith((".xml", ".rels")):
            allowed = min(allowed, MAX_XML_BYTES)
        if entry.file_size > allowed:
            name = entry.filename[:MAX_SHOWN_NAME]
            raise Unconvertible(
                "too_large",
                f'{refused}its part "{name}" has {entry.file_size} bytes, of {allowed} that one of '
                f"{entry.compress_size} packed bytes may have.",
            )
