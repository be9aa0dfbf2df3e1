"""The data directory as commands beside the service find it: that it is one, and whose it is."""

import ctypes
import os
import pwd
import sys
from contextlib import suppress
from pathlib import Path

from ilios.settings.settings import Settings

SERVICE_FILES = ("lock", "nats", "blobs", "snapshots", "upload-url.secret")
"""What a service leaves in every data directory; one of them is enough to know it by."""

_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAPABILITIES_VERSION = 0x20080522
_DAC_READ_SEARCH = 2


class NoData(Exception):
    """There are no data of a service where they were looked for."""


class CannotSwitchUser(Exception):
    """Root may not act as the owner of the data here."""


def ensure_service_data(settings: Settings) -> None:
    """Make sure that a service has run there; nothing is made.

    :raises NoData: none has; the message names the settings that say where to look.
    """
    data_dir, database = settings.data_dir.absolute(), settings.database_path.absolute()
    if not data_dir.is_dir():
        raise NoData(
            f"no service has run in {data_dir}: there is no such directory; set ILIOS_DATA_DIR to "
            "that of the service"
        )
    found = [name for name in SERVICE_FILES if os.path.lexists(data_dir / name)]
    # The log of a bus of one's own may be all that is left, and the directory a fresh one.
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


def act_as_owner(data_dir: Path) -> str | None:
    """Where root runs this on the data of somebody else, go on as that user, for good.

    Or files would be left that the service cannot open. Returns a sentence about it, None where
    nothing changed. What root may read stays readable: the interpreter may lie in root's home.

    :raises CannotBecome: root may not, as in a container without capabilities.
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
    """Give up all that root may do but to read and search, which nats-server inherits.

    With struct __user_cap_header and two of struct __user_cap_data of linux/capability.h.
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
