"""Exit status of a child process, interpreted as a verdict on the document it worked on."""

import signal
from functools import cache
from pathlib import Path

from actors.engines import EngineCrashed, Unconvertible
from ilios.runtime.machine import CGROUPS, PROC, cgroup_files

NATIVE_CRASHES = frozenset(
    {
        signal.SIGABRT,
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGILL,
        signal.SIGFPE,
        signal.SIGTRAP,
        signal.SIGSYS,
    }
)
MEMORY_PRESSURE = b"memory is running short"
"""Printed by a child whose memory use is so high that an abort means lack of memory."""

OUT_OF_MEMORY_MARKERS = (
    MEMORY_PRESSURE,
    b"memory allocation of",
    b"bad_alloc",
    b"out of memory",
    b"cannot allocate memory",
    b"memoryerror",
)
"""Printed by runtimes that abort for lack of memory: Rust, C++, PDFium, libc, Python."""

OUT_OF_MEMORY_EXIT = 77
"""Exit code of a child that reached its own memory limit."""

TIMEOUT = "The document took longer to convert than is allowed."
PAGE_TIMEOUT = "The document was given up: no page of it was finished within {seconds:g} seconds."
OUT_OF_MEMORY = "Converting the document needs more memory than is allowed."
KILLED_EXTERNALLY = "the conversion process was ended from outside"
OOM_KILLED = "the kernel ended the conversion process because there was no memory left"

COUNTER = "oom_kill"


def explain(
    returncode: int, stderr_tail: bytes, *, oom_killed: bool = False
) -> Unconvertible | EngineCrashed:
    """Return the error for a child that the engine did not kill.

    :param returncode: as in :mod:`subprocess`, negative for a signal.
    :param stderr_tail: the end of the child's stderr.
    :param oom_killed: the kernel's OOM killer was active meanwhile.
    """
    if returncode == -signal.SIGXCPU:
        return Unconvertible("timeout", TIMEOUT)
    out_of_memory = any(marker in stderr_tail.lower() for marker in OUT_OF_MEMORY_MARKERS)
    if returncode == 0 or -returncode in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        memory = oom_killed and returncode == -signal.SIGKILL
        return EngineCrashed(
            OOM_KILLED if memory else KILLED_EXTERNALLY, document_blamed=False, out_of_memory=memory
        )
    if out_of_memory or returncode == OUT_OF_MEMORY_EXIT:
        return Unconvertible("out_of_memory", OUT_OF_MEMORY)
    if -returncode in NATIVE_CRASHES:
        name = signal.Signals(-returncode).name
        return EngineCrashed(f"the conversion process crashed with {name}", document_blamed=True)
    if returncode < 0:
        return EngineCrashed(
            f"the conversion process got signal {-returncode}", document_blamed=False
        )
    return EngineCrashed(f"the conversion process exited with {returncode}", document_blamed=True)


class OomCounter:
    """The kernel's count of processes it ended in this cgroup because memory had run out.

    It is incremented before the killed process is gone.
    """

    def __init__(self, proc: Path = PROC, cgroups: Path = CGROUPS) -> None:
        self._file = _counter_file(proc, cgroups)

    def kills(self) -> int:
        """Return the count so far; 0 where the kernel does not count."""
        return _read(self._file) or 0


@cache
def cgroup_counter() -> OomCounter:
    """Return the counter of the cgroup of this process and its children."""
    return OomCounter()


def _counter_file(proc: Path, cgroups: Path) -> Path:
    """Return the file with our cgroup's count, or the machine's where there is none.

    Formats: ``memory.events`` of cgroups, version 2, or ``memory.oom_control`` of version 1;
    ``vmstat`` of proc(5).
    """
    files = cgroup_files(
        "memory", "memory.events", "memory.oom_control", proc=proc, cgroups=cgroups
    )
    counted = (file for file in files if _read(file) is not None)
    return next(counted, proc / "vmstat")


def _read(file: Path) -> int | None:
    try:
        text = file.read_text()
    except OSError:
        return None
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == COUNTER and value.isdecimal():
            return int(value)
    return None
