"""How many files the process may have open, and how many connections that is enough for."""

import resource

FILES_PER_CONNECTION = 2
"""Files of a client that is served: the connection, and what it sends or is sent."""
RESERVED_FILES = 512
"""Files for all else: the porch of the edge, the database, the bus, pipes to the engines."""


def raise_limit(connections: int) -> int:
    """Raise the soft limit as far as needed and allowed; returns how many connections it holds."""
    wanted = FILES_PER_CONNECTION * connections + RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _less(soft, wanted):
        soft = hard if _less(hard, wanted) else wanted
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        except (OSError, ValueError):  # some systems allow less than they say
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(connections, _connections_within(soft))


def warnings(connections: int) -> list[str]:
    """Return a sentence if so many connections cannot be held, however far the limit is raised."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = _connections_within(hard)
    if held >= connections:
        return []
    wanted = FILES_PER_CONNECTION * connections + RESERVED_FILES
    warning = (
        f"ILIOS_MAX_CONNECTIONS: {connections} connections need {wanted} open files and {hard} are "
        f"allowed, so only {held} are served; allow more (ulimit -Hn, LimitNOFILE=) or set it to "
        f"{held}"
    )
    return [warning]


def _connections_within(limit: int) -> int:
    if limit == resource.RLIM_INFINITY:
        return 2**31
    # Of a limit that leaves next to nothing, half is for the connections all the same.
    return max(
        (limit - RESERVED_FILES) // FILES_PER_CONNECTION, limit // (2 * FILES_PER_CONNECTION), 1
    )


def _less(limit: int, wanted: int) -> bool:
    return limit != resource.RLIM_INFINITY and limit < wanted
