"""What the death of a child says about the document it had in hand."""

import signal

from actors.engines import EngineCrashed, Unconvertible

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
"""What a child prints when it has come so far that an abort means want of memory."""

OUT_OF_MEMORY_MARKERS = (
    MEMORY_PRESSURE,
    b"memory allocation of",
    b"bad_alloc",
    b"out of memory",
    b"cannot allocate memory",
    b"memoryerror",
)
"""What runtimes print before they abort for want of memory: Rust, C++, PDFium, libc, Python."""

OUT_OF_MEMORY_EXIT = 77
"""Exit code of a child that saw its memory run out."""

TIMEOUT = "The document took longer to convert than is allowed."
PAGE_TIMEOUT = "The document was given up: no page of it was finished within {seconds:g} seconds."
OUT_OF_MEMORY = "Converting the document needs more memory than is allowed."


KILLED_EXTERNALLY = "the conversion process was ended from outside"
OOM_KILLED = "the kernel ended the conversion process because there was no memory left"


def explain(
    returncode: int, stderr_tail: bytes, *, oom_killed: bool = False
) -> Unconvertible | EngineCrashed:
    """Judge a death we did not cause.

    :param returncode: as in :mod:`subprocess`, negative for a signal.
    :param last_words: the end of what the child wrote to stderr.
    :param oom_killed: the kernel has ended a process meanwhile because memory had run out.
    """
    if returncode == -signal.SIGXCPU:
        return Unconvertible("timeout", TIMEOUT)
    out_of_memory = any(sign in stderr_tail.lower() for sign in OUT_OF_MEMORY_MARKERS)
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
