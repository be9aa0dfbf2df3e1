"""The exit codes of the command."""

OK = 0
SOME_FAILED = 1
USAGE = 2
"""Wrong settings: those that cannot be read, and those that what they name refuses.

Starting again is no use before one of them is changed: systemd is asked not to.
"""
CANNOT_START = 3
INTERRUPTED = 130
