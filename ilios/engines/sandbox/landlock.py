"""Landlock: which files this process may still open, for good. Linux only.

By system calls, because neither Python nor libc has words for it; the numbers are those of
linux/landlock.h, the rules those of the kernel's documentation (userspace-api/landlock).
"""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path
from stat import S_ISDIR

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""System calls; every architecture has the same numbers."""

CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1

WRITE_FILE, READ_FILE, READ_DIR = 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE = 1 << 4, 1 << 5
MAKE_DIR, MAKE_REG, MAKE_SYM = 1 << 7, 1 << 8, 1 << 12
TRUNCATE = 1 << 14
FILES_ONLY = WRITE_FILE | READ_FILE | TRUNCATE
"""Rights that a rule for a single file may give."""

READ = READ_FILE | READ_DIR
WRITE = WRITE_FILE | TRUNCATE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SYM

RIGHTS_BY_VERSION = ((1 << 13) - 1, 1 << 13, TRUNCATE, 0, 1 << 15)
"""Rights over files that each version of the interface adds: among them to run a program, which
nobody gets, to link to elsewhere (2), to truncate (3), to give orders to devices (5)."""

TCP_FROM, TCP = 4, 1 << 0 | 1 << 1
"""From this version on no port can be bound or connected to."""

SCOPES_FROM, SCOPES = 6, 1 << 0 | 1 << 1
"""From this version on abstract sockets and processes outside are out of reach, for signals too."""


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
    """Return the version of the interface that this kernel offers, or 0 where there is none."""
    try:
        return _call(
            CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(CREATE_RULESET_VERSION)
        )
    except OSError:
        return 0


def restrict(readable: Iterable[Path], writable: Iterable[Path]) -> int:
    """Leave this thread, and those it starts, nothing but these paths and what lies below them.

    What is missing among them is passed over. Returns the version that is in force.

    :raises OSError: the kernel has no Landlock, or refuses it; then nothing has changed.
    """
    offered = version()
    handled = sum(RIGHTS_BY_VERSION[:offered])
    ruleset = _Ruleset(
        handled,
        TCP if offered >= TCP_FROM else 0,
        SCOPES if offered >= SCOPES_FROM else 0,
    )
    # Older kernels take a longer structure than theirs, as long as what they do not know is zero.
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
        # /proc forgets its files when memory is short, and a rule is for the file, not its name:
        # held open, they stay what they are.
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
