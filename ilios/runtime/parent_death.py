"""Child processes that end with their parent, however it ends (Linux)."""

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1
# Loaded here: between fork and exec another thread may hold the import lock for ever.
_libc = ctypes.CDLL(None)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends; usable as ``preexec_fn``.

    By SIGKILL, since a process that hangs would ignore SIGTERM. Elsewhere than on Linux, nothing.
    """
    if sys.platform == "linux":
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
