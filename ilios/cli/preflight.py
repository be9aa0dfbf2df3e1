"""Checks of what the service needs before it starts; they leave nothing behind.

The directories it writes to, the ports it listens on, its database, a NATS of the operator, a
bucket.
"""

import asyncio
import errno
import fcntl
import http.client
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from actors.ports import StorageMisconfigured, StorageUnavailable
from bus.errors import BusUnavailable
from bus.target import Target
from ilios.blobs.factory import blob_directory, probe_bucket
from ilios.blobs.move_record import ensure_complete_store
from ilios.blobs.s3 import S3Config
from ilios.data_directory import NewerData, check_version, refuse_foreign_database, unlock_database
from ilios.database.foreign import ForeignDatabase
from ilios.database.key_check import KeyRefused
from ilios.passwords.key import check_key, load_key
from ilios.runtime.disk_space import MIN_FREE_FILES, Volume
from ilios.secret import SecretsDamaged
from ilios.settings.settings import MIB, Settings

DATA_DIR = "ILIOS_DATA_DIR"
DATABASE = "LOCAL_DB_PATH"
STORE_TIMEOUT = 8.0  # seconds for a bus or a bucket to answer
PORT_TIMEOUT = 1.0  # seconds for the process that uses a port to answer
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # connected to, not listened on

Level = Literal["ok", "warning", "problem"]


class Finding(Struct, frozen=True):
    """A sentence about a setting. A problem prevents the service from starting or from working."""

    level: Level
    text: str


def ok(text: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding("ok", text)


def warning(text: str) -> Finding:
    """Return a finding that somebody should look at."""
    return Finding("warning", text)


def problem(text: str) -> Finding:
    """Return a finding that has to be dealt with before the service can work."""
    return Finding("problem", text)


def is_locked(data_dir: Path) -> bool:
    """Return whether a running service has locked the data directory; creates no lock file."""
    try:
        descriptor = os.open(data_dir / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def check_directories(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each directory and file the service writes to."""
    reserve, data_dir = settings.reserve_bytes, settings.data_dir
    found = {data_dir: _check_directory(DATA_DIR, data_dir, reserve)}
    if settings.database is not None:
        parent = settings.database.parent
        found[parent] = _check_directory(DATABASE, parent, reserve)
    yield from found.values()
    failed = [place for place, finding in found.items() if finding.level == "problem"]
    blobs = blob_directory(settings.s3, data_dir, settings.shared_blobs)
    within = [blobs, settings.snapshots_dir, data_dir / "engine"]
    if settings.nats_url is None:
        within.append(data_dir / "nats")
    for place in within:
        # A problem of a directory is one of those below it as well.
        if not any(place.is_relative_to(other) for other in failed):
            finding = _check_directory(DATA_DIR, place, reserve)
            if finding.level == "problem":
                yield finding
    yield from _check_database(settings.database_path)
    yield from _check_move(settings)
    yield from _check_seal_key(settings)
    yield from _check_database_key(settings)


def _check_directory(variable: str, place: Path, reserve: int) -> Finding:
    existing = next(one for one in (place, *place.absolute().parents) if os.path.lexists(one))
    if not existing.is_dir():
        return problem(f"{variable}: {existing} is not a directory")
    try:
        with tempfile.TemporaryFile(dir=existing):  # which has no name
            pass
    except OSError as error:
        made = "written to" if existing == place else f"made in {existing}"
        return problem(f"{variable}: {place} cannot be {made} ({error.strerror})")
    volume = Volume.of(existing)
    if volume is None:
        return problem(f"{variable}: {existing} cannot be read")
    free, reserved = volume.free // MIB, reserve // MIB
    if volume.free < reserve:
        return problem(
            f"{variable}: {free} MB are free for {place}, less than the {reserved} MB of "
            "ILIOS_RESERVE_MB: nothing would be accepted"
        )
    if volume.files is not None and volume.files < MIN_FREE_FILES:
        return problem(f"{variable}: no more than {volume.files} files can be made for {place}")
    state = "can be written to" if existing == place else "can be made"
    return ok(f"{variable}: {place} {state}, {free} MB are free")


def _check_move(settings: Settings) -> Iterator[Finding]:
    directory = blob_directory(None, settings.data_dir, settings.shared_blobs)
    try:
        ensure_complete_store(settings.data_dir, directory if settings.s3 is None else None)
    except StorageMisconfigured as error:
        yield problem(f"{DATA_DIR}: {error}")


def _check_database(path: Path) -> Iterator[Finding]:
    if path.is_dir():
        yield problem(f"{DATABASE}: {path} is a directory; name a file")
    elif path.exists() and not os.access(path, os.R_OK | os.W_OK):
        yield problem(
            f"{DATABASE}: {path} cannot be read and written by this user; give it back to the "
            "user of the service (chown)"
        )


def _check_seal_key(settings: Settings) -> Iterator[Finding]:
    try:
        if settings.sealing_key is not None:
            load_key(None, settings.data_dir, settings.sealing_key)
            yield ok("ILIOS_SEALING_KEY: it is a key")
            return
        path = check_key(settings.seal_key_file, settings.data_dir)
    except SecretsDamaged as error:
        named = "" if settings.sealing_key is not None else "ILIOS_SEAL_KEY_FILE: "
        yield problem(f"{named}{error}")
        return
    if path is not None and settings.seal_key_file is not None:
        yield ok(f"ILIOS_SEAL_KEY_FILE: {path} holds a key")


def _check_database_key(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for a key in a file; whether it fits the database is that of the stores."""
    if settings.db_encryption_key_file is None:
        return
    try:
        _ = settings.database_key
    except ValueError as error:
        yield problem(f"DB_ENCRYPTION_KEY_FILE: {error}")
    else:
        yield ok(f"DB_ENCRYPTION_KEY_FILE: {settings.db_encryption_key_file} holds a key")


def check_ports(settings: Settings, *, running: bool) -> Iterator[Finding]:
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
    connection = http.client.HTTPConnection(LOOPBACK.get(host, host), port, timeout=PORT_TIMEOUT)
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
        with socket.create_connection(("127.0.0.1", port), PORT_TIMEOUT) as connection:
            connection.settimeout(PORT_TIMEOUT)
            greeting = connection.recv(4096)
    except OSError:
        return False
    return greeting.startswith(b"INFO ") and b'"server_name":"ilios"' in greeting


def check_stores(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each store that is configured, and for a database that is not ours."""
    from ilios.integrity import missing_database  # noqa: PLC0415  loads the client of NATS

    try:
        check_version(settings.data_dir)
    except NewerData as error:
        yield problem(f"ILIOS_DATA_DIR: {error}")
    except OSError:
        pass  # the file cannot be read, which the check of the directories reports
    try:
        unlock_database(settings)
        refuse_foreign_database(settings)
        missing_database.check_snapshots(settings)
    except (missing_database.DatabaseMissing, ForeignDatabase) as error:
        yield problem(f"LOCAL_DB_PATH: {error}")
    except KeyRefused as error:
        if not str(error).startswith("DB_ENCRYPTION_KEY_FILE"):  # which was reported
            yield problem(f"DB_ENCRYPTION_KEY: {error}")
    except OSError:
        pass  # the file cannot be read, which the check of the directories reports
    if settings.external_bus is not None:
        yield asyncio.run(_check_bus(settings.external_bus))
    if settings.s3 is not None:
        yield asyncio.run(_check_bucket(settings.s3))


async def _check_bus(target: Target) -> Finding:
    from bus import connection  # noqa: PLC0415  loads the client of NATS

    try:
        async with asyncio.timeout(STORE_TIMEOUT), connection.connect(target, name="check") as bus:
            await bus.check()
            return ok(f"NATS_URL: {bus.address} answers, with JetStream")
    except BusUnavailable as error:
        return problem(f"NATS_URL: {error}")
    except TimeoutError:
        return problem(f"NATS_URL: no answer within {STORE_TIMEOUT:.0f} s")


async def _check_bucket(config: S3Config) -> Finding:
    try:
        async with asyncio.timeout(STORE_TIMEOUT):
            await probe_bucket(config)
    except StorageUnavailable as error:
        return problem(f"S3_BUCKET: {error}")
    except TimeoutError:
        return problem(
            f"S3_BUCKET: {config.location} did not answer within {STORE_TIMEOUT:.0f} s; see "
            "AWS_ENDPOINT_URL_S3"
        )
    return ok(f"S3_BUCKET: {config.bucket} at {config.location} can be reached")
