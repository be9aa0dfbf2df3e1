"""The data directory: whether a service has run in it, which version, and who owns it."""

import ctypes
import os
import pwd
import re
import sys
from contextlib import suppress
from pathlib import Path

from ilios import __version__
from ilios.database.encryption import use_key
from ilios.database.foreign import refuse_foreign
from ilios.database.key_check import KeyRefused, refuse_wrong_key
from ilios.secret import write_private_file
from ilios.settings.settings import Settings

VERSION_FILE = "version"
SERVICE_FILES = ("lock", "nats", "blobs", "snapshots", "upload-url.secret")
"""Files and directories of a service; one of them is enough to recognise its directory."""

_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAPABILITIES_VERSION = 0x20080522
_DAC_READ_SEARCH = 2


class NoData(Exception):
    """The directory has no data of a service."""


class NewerData(Exception):
    """A newer ilios has written to the data directory; the message has the remedy."""


class CannotSwitchUser(Exception):
    """Root may not act as the owner of the data."""


def ensure_service_data(settings: Settings) -> None:
    """Return if a service has run in the data directory; nothing is created.

    :raises NoData: none has; the message names the settings to change.
    """
    data_dir, database = settings.data_dir.absolute(), settings.database_path.absolute()
    if not data_dir.is_dir():
        raise NoData(
            f"no service has run in {data_dir}: there is no such directory; set ILIOS_DATA_DIR to "
            "that of the service"
        )
    found = [name for name in SERVICE_FILES if os.path.lexists(data_dir / name)]
    # With a bus of the operator the log may be all that is left.
    if not found and not os.path.lexists(database) and settings.nats_url is None:
        raise NoData(
            f"no service has run in {data_dir}: there are no data of ilios in it; set "
            "ILIOS_DATA_DIR to the directory of the service (and LOCAL_DB_PATH, where its database "
            "lies elsewhere)"
        )
    if not database.parent.is_dir():
        raise NoData(
            f"there is no directory {database.parent} for the database; set LOCAL_DB_PATH as the "
            "service has it"
        )


def unlock_database(settings: Settings) -> None:
    """Have this process open databases with the key of the settings; nothing is written.

    :raises KeyRefused: it does not fit the database, or its file has none.
    """
    try:
        use_key(settings.database_key)
    except ValueError as error:
        raise KeyRefused(f"DB_ENCRYPTION_KEY_FILE: {error}") from error
    refuse_wrong_key(settings.database_path, settings.snapshots_dir.glob("ilios-*.db"))


def refuse_foreign_database(settings: Settings) -> None:
    """Return unless the file of the database belongs to another program; nothing is written.

    :raises ForeignDatabase: it does; the message names the settings to change.
    """
    remedy = "Set LOCAL_DB_PATH to another file"
    if settings.database is None:
        remedy += ", or ILIOS_DATA_DIR to another directory"
    refuse_foreign(settings.database_path, remedy)


def check_version(data_dir: Path) -> None:
    """Return unless a newer version has written to the data directory.

    :raises NewerData: one has.
    """
    try:
        written = (data_dir / VERSION_FILE).read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return
    if _release(written) > _release(__version__):
        raise NewerData(
            f"the data directory {data_dir} was written by a newer ilios ({written}, this is "
            f"{__version__}). Install ilios {written} again, or a newer one. There is no way back "
            "but a copy of the whole data directory of before the upgrade"
        )


def write_version(data_dir: Path) -> None:
    """Note this version in the data directory, if it is not noted there."""
    path, text = data_dir / VERSION_FILE, f"{__version__}\n"
    if not path.exists() or path.read_text(encoding="ascii", errors="replace") != text:
        write_private_file(path, text)  # in one step, and for the owner alone


def _release(version: str) -> tuple[int, ...]:
    """Return major and minor number: patches of one minor version understand each other."""
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:2])


def act_as_owner(data_dir: Path) -> str | None:
    """Switch from root to the owner of the data, for good.

    Else files would be left that the service cannot open. Returns a sentence about the switch, or
    None. What root may read stays readable: the interpreter may lie in root's home.

    :raises CannotSwitchUser: root may not, as in a container without capabilities.
    """
    if os.geteuid() != 0:
        return None
    lock = data_dir / "lock"  # made by the service itself
    owner = (lock if lock.exists() else data_dir).stat()
    if owner.st_uid == 0:
        return None
    name, group = _name_and_group(owner.st_uid, owner.st_gid)
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    try:
        if libc is not None:
            libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
        if name is None:
            os.setgroups([])
        else:
            os.initgroups(name, group)
        os.setgid(group)  # all three of them, for root
        os.setuid(owner.st_uid)
    except OSError as error:
        raise CannotSwitchUser(
            f"root may not act as the owner of {data_dir} here; run this as uid {owner.st_uid}"
        ) from error
    if libc is not None:
        _keep_read_capability(libc)
    who = f"{name} (uid {owner.st_uid})" if name else f"uid {owner.st_uid}"
    return f"run as root; going on as {who}, who owns {data_dir.absolute()}"


def _name_and_group(uid: int, group: int) -> tuple[str | None, int]:
    with suppress(KeyError):
        found = pwd.getpwuid(uid)
        return found.pw_name, found.pw_gid
    return None, group


def _keep_read_capability(libc: ctypes.CDLL) -> None:
    """Drop all capabilities but reading and searching, which nats-server inherits.

    The arrays are struct __user_cap_header and two of struct __user_cap_data, linux/capability.h.
    """
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0)
    data = (ctypes.c_uint32 * 6)()
    data[0] = data[1] = data[2] = 1 << _DAC_READ_SEARCH  # effective, permitted, inheritable
    if libc.capset(header, data) != 0:
        # Root did not have it either; then without any.
        data[0] = data[1] = data[2] = 0
        libc.capset(header, data)
        return
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _DAC_READ_SEARCH, 0, 0)
