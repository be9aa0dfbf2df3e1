"""Ports for servers that cannot be given a socket."""

import socket
from random import SystemRandom

PORTS = range(10_000, 30_000)
"""Below the ephemeral ports, which the kernel assigns to connections and to sockets bound to 0."""


def free_port() -> int:
    """Return a port that nothing listens on."""
    # Not the random module: every worker seeds it with the same number.
    for port in SystemRandom().sample(PORTS, 100):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise AssertionError("100 ports are in use")
