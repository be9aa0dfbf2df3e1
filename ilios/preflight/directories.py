"""Checks the directories the service writes to: they exist or can be made, with free space."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ilios.blobs.factory import blob_directory
from ilios.preflight.findings import Finding, ok, problem
from ilios.runtime.disk_space import MIN_FREE_FILES, Volume
from ilios.settings.settings import MIB, Settings

DATA_DIR = "ILIOS_DATA_DIR"
DATABASE = "LOCAL_DB_PATH"


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


def check(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each directory and file the service writes to."""
    reserve, data_dir = settings.reserve_bytes, settings.data_dir
    found = {data_dir: _check_directory(DATA_DIR, data_dir, reserve)}
    if settings.database is not None:
        parent = settings.database.parent
        found[parent] = _check_directory(DATABASE, parent, reserve)
    yield from found.values()
    failed = [place for place, finding in found.items() if finding.level == "problem"]
    within = [blob_directory(settings.s3, data_dir), settings.snapshots_dir, data_dir / "engine"]
    if settings.nats_url is None:
        within.append(data_dir / "nats")
    for place in within:
        # A problem of a directory is one of those below it as well.
        if not any(place.is_relative_to(other) for other in failed):
            finding = _check_directory(DATA_DIR, place, reserve)
            if finding.level == "problem":
                yield finding
    yield from _check_database(settings.database_path)


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


def _check_database(path: Path) -> Iterator[Finding]:
    if path.is_dir():
        yield problem(f"{DATABASE}: {path} is a directory; name a file")
    elif path.exists() and not os.access(path, os.R_OK | os.W_OK):
        yield problem(
            f"{DATABASE}: {path} cannot be read and written by this user; give it back to the "
            "user of the service (chown)"
        )
