"""Exit codes of ``ilios``."""

OK = 0
SOME_FAILED = 1
USAGE = 2
"""Wrong arguments or settings, among them a bus, bucket or database that refuses this service.

A restart is no use before a setting is changed; systemd is configured not to make one.
"""
CANNOT_START = 3
INTERRUPTED = 130
