"""Checks the ports the service listens on, and whether another ilios uses them."""

import errno
import http.client
import json
import os
import socket
from collections.abc import Iterator

from ilios.preflight.findings import Finding, ok, problem, warning
from ilios.settings.settings import Settings

ASKED_WITHIN = 1.0  # seconds for the process that uses a port to answer
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # connected to, not listened on


def check(settings: Settings, *, running: bool) -> Iterator[Finding]:
    """Yield a finding for each port; ``running``: a service uses the same data directory."""
    host, port = settings.host, settings.port
    if port:
        fault = _bind_error(host, port)
        if fault is None:
            yield ok(f"PORT: {port} of {host} is free")
        elif fault != errno.EADDRINUSE:
            yield problem(f"PORT: {port} of {host} cannot be listened on ({os.strerror(fault)})")
        elif not _is_edge(host, port):
            yield problem(f"PORT: {port} of {host} is in use by another program; set PORT")
        elif running:
            yield ok(f"PORT: {port} of {host} is in use by a running ilios, that of this directory")
        else:
            yield problem(
                f"PORT: {port} of {host} is in use by a running ilios that does not hold this data "
                "directory (it has another, or waits): stop that one, or set PORT"
            )
    port = settings.nats_port
    if settings.nats_url is not None or not port:
        return
    if _bind_error("127.0.0.1", port) is None:
        yield ok(f"ILIOS_NATS_PORT: {port} is free")
        return
    by = "the bus of a running ilios" if _is_bus(port) else "another program"
    text = f"ILIOS_NATS_PORT: {port} is in use by {by}"
    yield ok(text) if running else warning(f"{text}; a free one is taken instead")


def _bind_error(host: str, port: int) -> int | None:
    """Bind the port as a server would; return the error number, or None."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return errno.EADDRNOTAVAIL
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
        except OSError as error:
            return error.errno or errno.EIO
    return None


def _is_edge(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK.get(host, host), port, timeout=ASKED_WITHIN)
    try:
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        return bool(json.loads(answer.read(1024)) == {"status": "alive"})
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()


def _is_bus(port: int) -> bool:
    """Return whether a nats-server of ilios answers on the port."""
    try:
        with socket.create_connection(("127.0.0.1", port), ASKED_WITHIN) as connection:
            connection.settimeout(ASKED_WITHIN)
            greeting = connection.recv(4096)
    except OSError:
        return False
    return greeting.startswith(b"INFO ") and b'"server_name":"ilios"' in greeting
