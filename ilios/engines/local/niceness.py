"""How much of the processor a child gets beside others. Linux only where the kernel is asked."""

import os
from contextlib import suppress
from pathlib import Path

NICENESS = 5
"""Below the service itself, which has to stay responsive while every core converts."""

LOW_PRIORITY_NICENESS = 15
"""A tenth of the time of the children beside it."""

LOWEST = 19


def lower_own_priority() -> None:
    """Have this process stand back behind the service."""
    os.nice(NICENESS)
    _set_group(os.getpid(), os.getpriority(os.PRIO_PROCESS, 0))


def lower_priority(pid: int) -> bool:
    """Have a child stand back behind the other children; returns whether it now does."""
    return _set(pid, _own_niceness() + LOW_PRIORITY_NICENESS)


def restore_priority(pid: int) -> bool:
    """Undo that, which needs a privilege; returns whether it is undone."""
    return _set(pid, _own_niceness() + NICENESS)


def _own_niceness() -> int:
    """Return the niceness of this process, the service: that of its children comes on top."""
    return os.getpriority(os.PRIO_PROCESS, 0)


def _set(pid: int, value: int) -> bool:
    value = min(value, LOWEST)
    _set_group(pid, value)
    try:
        # Of the group, because on Linux the priority of a process is that of its first thread.
        os.setpriority(os.PRIO_PGRP, pid, value)
    except OSError:  # it is gone, or may not
        return False
    return True


def _set_group(pid: int, value: int) -> None:
    """Set the same for its session, as a whole, which is what counts under autogrouping."""
    with suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(value))
