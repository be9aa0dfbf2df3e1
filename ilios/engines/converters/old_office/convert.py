"""DOC, XLS and PPT to Markdown: LibreOffice saves them in the formats of today.

Only where a process has a sandbox of its own for that (``ilios.engines.local.pool``).
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from actors.content_types import OLD_OFFICE
from actors.engines import Unconvertible
from ilios.engines.converters import registry
from ilios.engines.converters.old_office import libreoffice, storage
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import WHOLE, Pages, Reading
from ilios.engines.sandbox.enter import missing_features

NOT_HERE = (
    "This is {what}, or converted here once the operator has installed LibreOffice (setting "
    "ILIOS_LIBREOFFICE)."
)
NO_SANDBOX = (
    "This is {what}; it is not converted here, because LibreOffice runs in the sandbox only, and "
    "the sandbox is switched off or incomplete."
)
SAVED = "saved"
"""Name of the file that LibreOffice writes in the directory of the process."""


def check_available(content_type: str, limits: EngineLimits) -> None:
    """Make sure that old Office files can be converted on this machine.

    :raises Unconvertible: ``unsupported_type``, with what its owner can do.
    """
    if libreoffice.find(limits.libreoffice) is None:
        raise _unavailable(content_type, NOT_HERE)
    # Without it a document could have LibreOffice read files of others, by links to them.
    if limits.sandbox == "off" or missing_features():
        raise _unavailable(content_type, NO_SANDBOX)


def _unavailable(content_type: str, sentence: str) -> Unconvertible:
    return Unconvertible("unsupported_type", sentence.format(what=OLD_OFFICE[content_type]))


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading = WHOLE
) -> Pages:
    """Convert an old Office file; see :class:`ilios.engines.converters.registry.Converter`."""
    progress(0, 1)
    found = storage.inspect(path.read_bytes())
    program = libreoffice.find(limits.libreoffice)
    if program is None:
        raise _unavailable(found.content_type, NOT_HERE)
    target = Path.cwd() / SAVED
    if not libreoffice.save_as(program, path, target, found.filters):
        raise _refused(found)
    progress(0, 1)
    converted = registry.load_converter(found.target_type)(target, limits, progress, reading)
    return msgspec.structs.replace(converted, model=f"libreoffice+{converted.model}")


def count_pages(path: Path) -> int:
    """Refuse: pages are counted only of what LibreOffice has saved.

    :raises Unconvertible: always.
    """
    raise _unavailable(storage.inspect(path.read_bytes()).content_type, NOT_HERE)


def _refused(found: storage.Found) -> Unconvertible:
    name = storage.NAMES[found.content_type]
    if found.encrypted:
        return Unconvertible(
            "password_protected",
            f"The {name} file is protected by a password; remove it and submit again.",
        )
    return Unconvertible("corrupt", f"The {name} file is damaged: LibreOffice cannot open it.")
