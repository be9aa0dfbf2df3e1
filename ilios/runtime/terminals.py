"""Terminals that are closed while the process runs: writing a log line to one would fail."""

import os

_OUTPUTS = (1, 2)


class Terminals:
    """Those of stdout and stderr that are terminals at the start."""

    def __init__(self) -> None:
        self._descriptors = [descriptor for descriptor in _OUTPUTS if os.isatty(descriptor)]

    def detach_closed(self) -> None:
        """Redirect those that were closed to nowhere."""
        for descriptor in self._descriptors:
            if not os.isatty(descriptor):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
