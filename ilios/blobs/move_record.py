"""The record of a move of all blobs, in the data directory: which store has all of them.

It outlives the process that moves them. A service that starts on the store without all blobs would
take the others for lost.
"""

from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from actors.ports import StorageMisconfigured
from ilios.secret import write_private_file

RECORD_FILE = "blobs.move"


class Stage(StrEnum):
    """Which store has all blobs: while copying the source, then both.

    Once a service has run on the target, or the removal has begun, the source is left behind.
    """

    COPYING = "copying"
    PROVEN = "proven"
    LEFT = "left"


class MoveRecord(Struct, frozen=True):
    """A move from one directory to the store that ``target`` describes."""

    source: str
    target: str
    stage: Stage


def read_record(data_dir: Path) -> MoveRecord | None:
    """Return the record of an unfinished move, if there is one; blocks.

    :raises StorageMisconfigured: it cannot be read.
    """
    path = data_dir / RECORD_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=MoveRecord)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except msgspec.MsgspecError as error:
        raise StorageMisconfigured(
            f"{path} cannot be read ({error}): it names the store that has all blobs. Look which "
            "one has, and remove the file"
        ) from error


def write_record(data_dir: Path, record: MoveRecord) -> None:
    """Replace the record; blocks."""
    write_private_file(data_dir / RECORD_FILE, msgspec.json.encode(record).decode())


def remove_record(data_dir: Path) -> None:
    """Remove the record; blocks."""
    (data_dir / RECORD_FILE).unlink(missing_ok=True)


def ensure_complete_store(data_dir: Path, directory: Path | None) -> None:
    """Check that a service may start on a directory of blobs, or without one on a bucket; blocks.

    :raises StorageMisconfigured: only another store has all blobs.
    """
    record = read_record(data_dir)
    if record is None:
        return
    if record.stage is Stage.COPYING and not _is_source(record, directory):
        raise StorageMisconfigured(
            f"blobs are being moved from {record.source} to {record.target}, and not all are there "
            "yet: run `ilios blobs move` again to its end, or start with the settings of before"
        )
    if record.stage is Stage.LEFT and _is_source(record, directory):
        raise StorageMisconfigured(
            f"all blobs were moved to {record.target}, and {record.source} has not all of them any "
            "more: start with the settings of the other store"
        )


def record_start(data_dir: Path, directory: Path | None) -> None:
    """Record that a service starts on a store that ``ensure_complete_store`` lets pass; blocks.

    It adds blobs there, which the other store does not have.
    """
    record = read_record(data_dir)
    if record is not None and record.stage is Stage.PROVEN:
        stage = Stage.COPYING if _is_source(record, directory) else Stage.LEFT
        write_record(data_dir, replace(record, stage=stage))


def _is_source(record: MoveRecord, directory: Path | None) -> bool:
    return directory is not None and str(directory.absolute()) == record.source
