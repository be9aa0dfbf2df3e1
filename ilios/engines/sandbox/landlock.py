"""Landlock: restricts the files that this process may open. Linux only.

By system calls, because neither Python nor libc has functions for it; the numbers are those of
linux/landlock.h, the rules those of the kernel's documentation (userspace-api/landlock).
"""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path
from stat import S_ISDIR

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""System call numbers, the same on every architecture."""

CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1

WRITE_FILE, READ_FILE, READ_DIR = 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE = 1 << 4, 1 << 5
MAKE_DIR, MAKE_REG, MAKE_SYM = 1 << 7, 1 << 8, 1 << 12
TRUNCATE = 1 << 14
FILES_ONLY = WRITE_FILE | READ_FILE | TRUNCATE
"""Rights that a rule for a single file may grant."""

READ = READ_FILE | READ_DIR
WRITE = WRITE_FILE | TRUNCATE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SYM

RIGHTS_BY_VERSION = ((1 << 13) - 1, 1 << 13, TRUNCATE, 0, 1 << 15)
"""Rights over files that each version of the interface adds: among them to execute, which is never
granted, to link across directories (2), to truncate (3), and ioctl on devices (5)."""

TCP_FROM, TCP = 4, 1 << 0 | 1 << 1
"""From this version on, TCP bind and connect are refused."""

SCOPES_FROM, SCOPES = 6, 1 << 0 | 1 << 1
"""From this version on, abstract sockets of and signals to processes outside are refused."""


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def version() -> int:
    """Return the version of the interface of this kernel, or 0 without Landlock."""
    try:
        return _call(
            CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(CREATE_RULESET_VERSION)
        )
    except OSError:
        return 0


def restrict(readable: Iterable[Path], writable: Iterable[Path]) -> int:
    """Restrict this thread, and those it starts, to these paths and the files below them.

    Missing paths are skipped. Return the version that is in force.

    :raises OSError: the kernel has no Landlock, or refuses it; then nothing has changed.
    """
    offered = version()
    handled = sum(RIGHTS_BY_VERSION[:offered])
    ruleset = _Ruleset(
        handled,
        TCP if offered >= TCP_FROM else 0,
        SCOPES if offered >= SCOPES_FROM else 0,
    )
    # Older kernels accept a longer structure than theirs if the additional members are zero.
    rules = _call(
        CREATE_RULESET,
        ctypes.byref(ruleset),
        ctypes.c_size_t(ctypes.sizeof(ruleset)),
        ctypes.c_uint32(0),
    )
    try:
        for path in readable:
            _allow(rules, path, READ & handled)
        for path in writable:
            _allow(rules, path, (READ | WRITE) & handled)
        _call(RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint32(0))
    finally:
        os.close(rules)
    return offered


def _allow(rules: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not S_ISDIR(os.fstat(descriptor).st_mode):
        rights &= FILES_ONLY
    try:
        beneath = _PathBeneath(rights, descriptor)
        _call(
            ADD_RULE,
            ctypes.c_int(rules),
            ctypes.c_int(RULE_PATH_BENEATH),
            ctypes.byref(beneath),
            ctypes.c_uint32(0),
        )
    finally:
        # A rule is for an inode, and /proc drops inodes when memory is short: an open file keeps
        # them.
        if not path.is_relative_to("/proc"):
            os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    answer: int = libc.syscall(ctypes.c_long(number), *arguments)
    if answer < 0:
        failure = ctypes.get_errno()
        raise OSError(failure, os.strerror(failure))
    return answer
