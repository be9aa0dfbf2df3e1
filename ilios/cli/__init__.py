"""The command line: what people type. Results on stdout, everything else on stderr."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of ``ilios``.

    ``USAGE``: wrong arguments or settings, among them a bus, bucket or database that refuses this
    service. A restart is no use before a setting is changed; systemd is configured not to make one.
    ``UNAVAILABLE``: a running service cannot be reached, or refuses the key.
    """

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    CANNOT_START = 3
    UNAVAILABLE = 4
    INTERRUPTED = 130
