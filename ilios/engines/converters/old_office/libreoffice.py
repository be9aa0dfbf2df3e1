"""The LibreOffice of the system, loaded into this process.

It is not a part of the service. Its libraries are called (LibreOfficeKit/LibreOfficeKit.h, stable
since version 5), no program is started: so it needs no more than threads, and is under the filter
of system calls and the memory limit of the process that has loaded it. It cannot be unloaded: the
process ends with the document.
"""

import ctypes
import os
from pathlib import Path

from ilios.engines.converters.old_office import macro

OFF, AUTO = "off", "auto"
USUAL_PLACES = (
    "/usr/lib/libreoffice/program",
    "/usr/lib64/libreoffice/program",
    "/usr/local/lib/libreoffice/program",
    "/opt/libreoffice/program",
)
VERSIONED_PLACES = Path("/opt"), "libreoffice*/program"
"""Where the packages of its makers are installed, each version beside the others."""

LIBRARIES = ("libmergedlo.so", "libsofficeapp.so")
ENTRY_POINT = "libreofficekit_hook_2"
CONFIGURATION = ("/etc/libreoffice", "/etc/fonts", "/var/lib/libreoffice", "/var/spool/libreoffice")
"""Read beside its own directory: Debian has its registry and its extensions there."""

RUN_MACRO = 11
"""Place in struct _LibreOfficeKitClass, which begins with its size and the destructor."""


class Unusable(Exception):
    """LibreOffice cannot be loaded."""


def find(setting: str) -> Path | None:
    """Return the directory with the libraries of LibreOffice, None where there is none.

    :param setting: ``auto``, ``off`` or the path of the directory.
    """
    if setting == OFF:
        return None
    places = [Path(setting)]
    if setting == AUTO:
        parent, pattern = VERSIONED_PLACES
        places = [*map(Path, USUAL_PLACES), *sorted(parent.glob(pattern), reverse=True)]
    return next((place for place in places if _library(place)), None)


def warnings(setting: str) -> list[str]:
    """Return warnings for the operator about a directory that was named."""
    if setting in (OFF, AUTO) or find(setting):
        return []
    return [f"ILIOS_LIBREOFFICE: {setting} has no LibreOffice; DOC, XLS and PPT are refused"]


def readable(program: Path) -> tuple[Path, ...]:
    """Return what the sandbox has to let LibreOffice read."""
    return (program.parent, *map(Path, CONFIGURATION))


def save_as(program: Path, source: Path, target: Path, job: macro.Filters) -> bool:
    """Save a document in another format; return whether that worked.

    :param program: the directory that ``find`` returns.
    :param target: the new file; beside it a profile is made.
    :raises Unusable: LibreOffice does not start.
    """
    library = _library(program)
    if library is None:
        raise Unusable(f"there is no LibreOffice in {program}")
    os.environ["SAL_USE_VCLPLUGIN"] = "svp"  # without a display
    profile = target.parent / "profile"
    try:
        start = getattr(ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL), ENTRY_POINT)
    except (OSError, AttributeError) as error:
        raise Unusable(str(error)) from error
    start.restype, start.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_char_p)
    office = start(os.fsencode(program), profile.as_uri().encode())
    if not office:
        raise Unusable("LibreOffice does not start")
    # Only now: with a new profile it copies its own library of macros there.
    macro.write(profile, source, target, job)
    run = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(
        _function(office, RUN_MACRO)
    )
    run(office, macro.URL)
    return target.exists()


def _function(office: int, place: int) -> int:
    table = ctypes.c_void_p.from_address(office).value or 0
    size = ctypes.c_size_t.from_address(table).value
    address = ctypes.c_void_p.from_address(table + place * ctypes.sizeof(ctypes.c_void_p))
    if size <= place * ctypes.sizeof(ctypes.c_void_p) or not address.value:
        raise Unusable("this LibreOffice is too old")
    return address.value


def _library(program: Path) -> Path | None:
    return next((program / name for name in LIBRARIES if (program / name).is_file()), None)
