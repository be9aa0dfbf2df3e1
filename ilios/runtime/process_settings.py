"""Settings of this process: the limit on open files, and the garbage collector."""

import gc
import resource

FILES_PER_CONNECTION = 2
"""Open files of one client: the connection, and the blob it sends or receives."""
RESERVED_FILES = 512
"""Other open files: connections that wait, the database, the bus, pipes to the engines."""

YOUNG, MIDDLE, OLD = 20_000, 20, 50
"""Thresholds of the three generations.

Python's defaults (700, 10, 10) are for small programs: with all libraries loaded, half a million
objects that live as long as the process would be traversed again and again.
"""


def raise_file_limit(connections: int) -> int:
    """Raise the soft limit as far as needed and allowed; return the connections it allows."""
    wanted = FILES_PER_CONNECTION * connections + RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _less(soft, wanted):
        soft = hard if _less(hard, wanted) else wanted
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        except (OSError, ValueError):  # some systems allow less than their hard limit
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(connections, _connections_within(soft))


def file_limit_warnings(connections: int) -> list[str]:
    """Return a warning if the hard limit does not allow so many connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = _connections_within(hard)
    if allowed >= connections:
        return []
    wanted = FILES_PER_CONNECTION * connections + RESERVED_FILES
    warning = (
        f"ILIOS_MAX_CONNECTIONS: {connections} connections need {wanted} open files and {hard} are "
        f"allowed, so only {allowed} are served; allow more (ulimit -Hn, LimitNOFILE=) or "
        f"set it to {allowed}"
    )
    return [warning]


def freeze_objects() -> None:
    """Exempt all existing objects from garbage collection; to be called once, after the start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)


def _connections_within(limit: int) -> int:
    if limit == resource.RLIM_INFINITY:
        return 2**31
    # Of a very low limit, half is for the connections.
    return max(
        (limit - RESERVED_FILES) // FILES_PER_CONNECTION, limit // (2 * FILES_PER_CONNECTION), 1
    )


def _less(limit: int, wanted: int) -> bool:
    return limit != resource.RLIM_INFINITY and limit < wanted
