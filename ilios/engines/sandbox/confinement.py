"""Resource limits, priority and privileges of a child process.

Calls of the kernel are made on Linux only; other systems get what POSIX has.
"""

import ctypes
import os
import resource
import sys
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from ilios.engines.local import exit_status
from ilios.engines.local.limits import GIB, MIB, EngineLimits
from ilios.runtime.parent_death import die_with_parent

NICENESS = 5
"""Below the service itself, which has to stay responsive while every core converts."""

LOW_PRIORITY_NICENESS = 15
"""Gives a tenth of the CPU time of the other children."""

LOWEST = 19

PR_SET_NO_NEW_PRIVS = 38
CAPABILITIES_VERSION = 0x20080522
KEPT_CAPABILITIES = 1 << 2
"""Of a child of root, CAP_DAC_READ_SEARCH: libraries may be in another user's home."""

OPEN_FILES = 256
FILE_BYTES = 256 * MIB
"""Size limit of files that a child writes; converters write next to nothing."""

WATCH_EVERY = 0.03
"""Seconds between two checks of the memory in use during a conversion."""

RESERVE_BYTES = 2 * GIB
"""Address space a child may have beyond its memory: the PDF and OCR libraries reserve 1.3 GiB
that they never touch."""

PRESSURE_SHARE = 0.4
"""Share of the memory limit above which an abort counts as out of memory: a buffer that doubles
fails at once. Native libraries do not survive a failed allocation, they abort like any crash."""

ADDRESS_SPACE_SHARE = 0.75
"""Share of the address space that may be in use after a document; it is never given back."""

STATM_BYTES = 256  # seven numbers
OOM_SCORE_ADJ = "1000"


class EngineGone(Exception):
    """The engine that started this process is gone."""


def confine(limits: EngineLimits, engine_pid: int) -> None:
    """Limit this process and tie its life to the engine's.

    :raises EngineGone: the engine died while this process was starting.
    """
    die_with_parent()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _drop_capabilities(libc)
    # An engine that died before the first call sends no signal: only the new parent shows it.
    if os.getppid() != engine_pid:
        raise EngineGone
    _bound(resource.RLIMIT_AS, limits.memory_bytes + RESERVE_BYTES)
    _bound(resource.RLIMIT_CORE, 0)
    _bound(resource.RLIMIT_NOFILE, OPEN_FILES)
    _bound(resource.RLIMIT_FSIZE, FILE_BYTES)
    _lower_own_priority()
    _raise_oom_score()


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Drop the capabilities of root; other users have none.

    With struct __user_cap_header and two of struct __user_cap_data of linux/capability.h.
    """
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_VERSION, 0)
    data = (ctypes.c_uint32 * 6)()
    if libc.capget(header, data) == 0:
        data[0] &= KEPT_CAPABILITIES  # effective
        data[1] &= KEPT_CAPABILITIES  # permitted
        data[2] = data[3] = data[4] = data[5] = 0
        libc.capset(header, data)


def _raise_oom_score() -> None:
    """Make the OOM killer choose this process before the service and its bus."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE_ADJ)


def extend_cpu_limit(seconds: int) -> None:
    """Allow ``seconds`` of CPU time from now on; SIGXCPU ends the process after that."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = used + seconds if hard == resource.RLIM_INFINITY else min(used + seconds, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


class MemoryWatch:
    """Exit with ``exit_status.OUT_OF_MEMORY_EXIT`` before the memory limit is exceeded.

    A context manager around the work on one document. A thread watches meanwhile, which works
    because the native libraries release the GIL.
    """

    def __init__(self, memory_bytes: int) -> None:
        self._pressure = int(memory_bytes * PRESSURE_SHARE)
        self._limit = memory_bytes
        self._working = threading.Event()
        threading.Thread(target=self._watch, daemon=True, name="memory watch").start()

    def __enter__(self) -> None:
        self._working.set()

    def __exit__(self, *_: object) -> None:
        self._working.clear()

    def _watch(self) -> None:
        warned = False
        while self._working.wait():
            in_use = _memory()[1]
            if in_use > self._limit:
                os._exit(exit_status.OUT_OF_MEMORY_EXIT)
            if not warned and in_use > self._pressure:
                os.write(2, exit_status.MEMORY_PRESSURE + b"\n")
            warned = in_use > self._pressure
            time.sleep(WATCH_EVERY)


def resident_bytes() -> int:
    """Return the resident memory of this process, or 0 where it cannot be read."""
    return _memory()[1]


def address_space_low() -> bool:
    """Whether the next document may run out of address space."""
    bound, _ = resource.getrlimit(resource.RLIMIT_AS)
    return bound != resource.RLIM_INFINITY and _memory()[0] > ADDRESS_SPACE_SHARE * bound


def _memory() -> tuple[int, int]:
    """Return address space and resident memory of this process in bytes."""
    descriptor = _statm()
    if descriptor is None:
        return 0, 0
    total, resident, *_ = os.pread(descriptor, STATM_BYTES, 0).split()
    size = resource.getpagesize()
    return int(total) * size, int(resident) * size


@cache
def _statm() -> int | None:
    """Open the memory statistics once: inside the sandbox it might be refused."""
    try:
        return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _bound(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (value, value))


def _lower_own_priority() -> None:
    os.nice(NICENESS)
    _set_group(os.getpid(), os.getpriority(os.PRIO_PROCESS, 0))


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process; 0 where that cannot be read."""
    try:
        # After the name, which may contain anything: the state, and user and system time later on.
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def lower_priority(pid: int) -> bool:
    """Let the other children go before this one; return whether that worked."""
    return _set_priority(pid, _own_niceness() + LOW_PRIORITY_NICENESS)


def restore_priority(pid: int) -> bool:
    """Undo :func:`lower_priority`, which needs a privilege; return whether that worked."""
    return _set_priority(pid, _own_niceness() + NICENESS)


def _own_niceness() -> int:
    """Return the niceness of this process, the service: that of its children is relative to it."""
    return os.getpriority(os.PRIO_PROCESS, 0)


def _set_priority(pid: int, value: int) -> bool:
    value = min(value, LOWEST)
    _set_group(pid, value)
    try:
        # Of the group, because on Linux the priority of a process is that of its first thread.
        os.setpriority(os.PRIO_PGRP, pid, value)
    except OSError:  # the process is gone, or the privilege is missing
        return False
    return True


def _set_group(pid: int, value: int) -> None:
    """Set the same for the session as a whole, which is what counts under autogrouping."""
    with suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(value))
