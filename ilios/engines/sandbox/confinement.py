"""What a child gives up before it touches a document. Linux only where the kernel is asked."""

import ctypes
import os
import resource
import signal
import sys
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from ilios.engines.local import exit_status, niceness
from ilios.engines.local.limits import GIB, MIB, EngineLimits

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
CAPABILITIES_VERSION = 0x20080522
KEPT_CAPABILITIES = 1 << 2
"""Of a child of root, CAP_DAC_READ_SEARCH: libraries may lie in somebody's home."""

OPEN_FILES = 256
FILE_BYTES = 256 * MIB
"""Largest file a child may write; converters write next to nothing."""

WATCH_EVERY = 0.03
"""Seconds between two looks at the memory in use while a document is in work."""

RESERVE_BYTES = 2 * GIB
"""Address space a child may have beyond its memory: the PDF and OCR libraries reserve 1.3 GiB
that they never touch."""

PRESSURE_SHARE = 0.4
"""Share of the memory from which on an abort is taken for want of it: buffers that double fail
at once. Native libraries do not survive a failed allocation, they abort like any crash."""

ADDRESS_SPACE_SHARE = 0.75
"""Share of the address space that may be taken after a document; it is never given back."""

STATM_BYTES = 256  # seven numbers


OOM_SCORE_ADJ = "1000"


class EngineGone(Exception):
    """The engine that started this process is gone."""


def confine(limits: EngineLimits, engine_pid: int) -> None:
    """Tie this process to the engine's life and bound what it may take.

    :raises Orphaned: when the engine died while this process was starting.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _drop_capabilities(libc)
    # An engine that died before the prctl above never signals us: only the new parent tells.
    if os.getppid() != engine_pid:
        raise EngineGone
    _bound(resource.RLIMIT_AS, limits.memory_bytes + RESERVE_BYTES)
    _bound(resource.RLIMIT_CORE, 0)
    _bound(resource.RLIMIT_NOFILE, OPEN_FILES)
    _bound(resource.RLIMIT_FSIZE, FILE_BYTES)
    niceness.lower_own_priority()
    _raise_oom_score()


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Give up what root may do beyond others; who is not root has nothing to give up.

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
    """Have the kernel end this process before the service and its bus, which hold everybody's."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE_ADJ)


def extend_cpu_limit(seconds: int) -> None:
    """Let this process burn ``seconds`` from now on; SIGXCPU ends it when they are used up."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = used + seconds if hard == resource.RLIM_INFINITY else min(used + seconds, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


class MemoryWatch:
    """Ends this process with ``exit_status.OUT_OF_MEMORY_EXIT`` before its memory runs out.

    A context manager around the work on one document; a thread looks on meanwhile, which it can
    because the native libraries let go of the interpreter.
    """

    def __init__(self, memory_bytes: int) -> None:
        self._pressing = int(memory_bytes * PRESSURE_SHARE)
        self._most = memory_bytes
        self._working = threading.Event()
        threading.Thread(target=self._watch, daemon=True, name="memory watch").start()

    def __enter__(self) -> None:
        self._working.set()

    def __exit__(self, *_: object) -> None:
        self._working.clear()

    def _watch(self) -> None:
        pressed = False
        while self._working.wait():
            in_use = _memory()[1]
            if in_use > self._most:
                os._exit(exit_status.OUT_OF_MEMORY_EXIT)
            if not pressed and in_use > self._pressing:
                os.write(2, exit_status.MEMORY_PRESSURE + b"\n")
            pressed = in_use > self._pressing
            time.sleep(WATCH_EVERY)


def resident_bytes() -> int:
    """Return what this process holds in memory now, or 0 where the kernel does not tell."""
    return _memory()[1]


def address_space_low() -> bool:
    """Tell whether so much address space is taken that the next document may find none."""
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
    """Open, once and for good, what the kernel tells of our memory: later it might be refused."""
    try:
        return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _bound(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (value, value))
