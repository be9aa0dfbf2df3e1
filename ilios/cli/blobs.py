"""``ilios blobs``: moves the blobs of a stopped service into another store."""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from msgspec import Struct

from actors.ports import Blobs, StorageForeign, StorageMisconfigured, StorageUnavailable
from bus import failpoints
from ilios.blobs import relocation
from ilios.blobs.factory import LOCAL_DIR, has_blobs, open_bucket_to_fill
from ilios.blobs.files import count_sessions
from ilios.blobs.layout import TMP_DIR
from ilios.blobs.local import LocalBlobs
from ilios.blobs.move_record import (
    MoveRecord,
    Stage,
    read_record,
    remove_record,
    write_record,
)
from ilios.blobs.relocation import Progress
from ilios.blobs.s3 import SharingHost
from ilios.blobs.shared_directory import MARK_FILE
from ilios.cli import ExitCode, command, printing
from ilios.data_directory import NewerData, check_version
from ilios.database.connection import lock_file
from ilios.runtime.locks import AlreadyInUse, CannotLock, exclusive_lock
from ilios.secret import SecretsDamaged
from ilios.settings.settings import Settings

S3, DIRECTORY = "s3", "directory"
MAX_LISTED = 10  # blobs that are named one by one
SHOW_EVERY = 10.0  # seconds
MIB = 1024 * 1024

_CANNOT_START = (
    AlreadyInUse,
    CannotLock,
    NewerData,
    OSError,
    SecretsDamaged,
)


class CannotMove(Exception):
    """The arguments or settings name no two stores; the message has the next step."""


class Move(Struct, frozen=True):
    """What is to be moved: from a directory into a bucket, or into the directory ``target``."""

    settings: Settings
    source: Path
    target: Path | None
    remove_source: bool

    @property
    def target_name(self) -> str:
        """The other store, for messages and for the record."""
        if self.target is not None:
            return str(self.target)
        place = self.settings.s3
        assert place is not None  # checked first of all
        return f"bucket {place.bucket} at {place.location}, prefix {place.prefix!r}"

    def record(self, stage: Stage) -> MoveRecord:
        """Return the record of this move."""
        return MoveRecord(str(self.source), self.target_name, stage)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios blobs``."""
    parser.description = "Work on the blobs of a service: originals, Markdown and results."
    actions = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    move = actions.add_parser(
        "move",
        help="move them to S3, or into a directory that hosts share",
        description="Copy all blobs of the data directory into another store, and prove each by "
        "the SHA-256 of what is read back from there. The service must not run. A move that was "
        "interrupted goes on when the command is run again. Exit code 0: all are there; 1: some "
        "differ there; 2: a setting has to be changed; 3: a store or the data cannot be used.",
    )
    move.add_argument(
        "--to",
        nargs="+",
        required=True,
        metavar=("s3", "PATH"),
        help="`s3`, with the settings of the bucket as the service will have them; or `directory "
        "PATH`, which exists",
    )
    move.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="PATH",
        help="directory of the blobs (default: that in the data directory)",
    )
    move.add_argument(
        "--remove-source",
        action="store_true",
        help="remove them from the directory once all are proven",
    )


def run(options: argparse.Namespace) -> int:
    """Move the blobs; returns the exit code."""
    return command.run_on_data(
        lambda settings: _run(settings, options), cannot_start=_CANNOT_START, log_level="warning"
    )


def _run(settings: Settings, options: argparse.Namespace) -> int:
    try:
        command.claim_data(settings)
        move = _plan(settings, options)
        with ExitStack() as stack:
            data_dir, database = settings.data_dir, settings.database_path
            enter = stack.enter_context
            enter(exclusive_lock(data_dir / "lock", f"the data directory {data_dir}"))
            enter(exclusive_lock(lock_file(database), f"the database {database}"))
            check_version(data_dir)
            return asyncio.run(_move(move))
    except (CannotMove, StorageForeign, StorageMisconfigured) as error:
        printing.print_error(error)
        return ExitCode.USAGE
    except StorageUnavailable as error:
        printing.write_stderr(
            f"ilios: {error}. Nothing was removed that is not proven in the other store; run the "
            "command again to go on"
        )
        return ExitCode.CANNOT_START


def _plan(settings: Settings, options: argparse.Namespace) -> Move:
    """Return what the arguments ask for.

    :raises CannotMove: they and the settings do not name two stores.
    """
    kind, *rest = options.to
    source = (options.source or settings.data_dir / LOCAL_DIR).absolute()
    target: Path | None = None
    if kind == S3 and not rest:
        if settings.s3 is None:
            raise CannotMove("S3_BUCKET is not set: set the bucket as the service will have it")
    elif kind == DIRECTORY and len(rest) == 1:
        target = Path(rest[0]).absolute()
        if not target.is_dir():
            raise CannotMove(f"there is no directory {target}: make it, or mount its volume")
        if target.is_relative_to(source) or source.is_relative_to(target):
            raise CannotMove(f"{target} and {source} lie within each other: name another directory")
    else:
        raise CannotMove("--to takes `s3`, or `directory PATH`")
    return Move(settings, source, target, options.remove_source)


async def _move(move: Move) -> int:
    data_dir, record = move.settings.data_dir, read_record(move.settings.data_dir)
    if record is not None and (record.source, record.target) != (
        str(move.source),
        move.target_name,
    ):
        if record.stage is Stage.LEFT:
            raise CannotMove(
                f"a move from {record.source} to {record.target} is not finished: end it "
                "first, with --remove-source"
            )
        record = None
    stage = record.stage if record else None
    if stage is None and not has_blobs(move.source):
        printing.write_stdout(f"There are no blobs in {move.source}.\n")
        return ExitCode.OK
    _refuse_others(move.source)
    if stage not in (Stage.PROVEN, Stage.LEFT):
        write_record(data_dir, move.record(Stage.COPYING))
        progress = await _copy(move)
        if progress.different:
            return _report_different(move, progress)
        _refuse_others(move.source)
        write_record(data_dir, move.record(Stage.PROVEN))
        failpoints.reach("moving.proven")
        printing.write_stdout(
            f"{_shown(progress)} of {move.source} are in {move.target_name}, "
            f"{progress.copied} of them copied by this run.\n"
        )
    else:
        printing.write_stdout(f"A former run has proven all blobs in {move.target_name}.\n")
    if not move.remove_source:
        printing.write_stdout(
            f"{move.source} is unchanged. Start the service on {move.target_name}; then the same "
            "command with --remove-source removes the blobs of the directory.\n"
        )
        return ExitCode.OK
    return await _remove(move)


async def _copy(move: Move) -> Progress:
    progress, show = Progress(), _Shown()
    async with LocalBlobs.open(move.source) as source, _open_target(move, adopt=True) as target:
        await relocation.copy_all(source, target, progress, show)
    return progress


async def _remove(move: Move) -> int:
    # What was proven may be long ago: the other store has to be there, and to be the same.
    if move.target is not None and not has_blobs(move.target):
        raise CannotMove(f"there are no blobs in {move.target}: is its volume mounted?")
    async with _open_target(move, adopt=False) as target:
        await target.check()
    write_record(move.settings.data_dir, move.record(Stage.LEFT))
    removed = 0
    if move.source.is_dir():
        async with LocalBlobs.open(move.source) as source:
            removed = await relocation.remove_all(source)
        if not relocation.remove_directory(move.source):
            printing.print_note(f"what is no blob, or is a mounted volume, stays: {move.source}")
    remove_record(move.settings.data_dir)
    printing.write_stdout(f"{removed} blobs were removed from {move.source}.\n")
    return ExitCode.OK


@asynccontextmanager
async def _open_target(move: Move, *, adopt: bool) -> AsyncIterator[Blobs]:
    settings = move.settings
    if move.target is not None:
        async with LocalBlobs.open(move.target) as directory:
            yield directory
        return
    assert settings.s3 is not None  # checked first of all
    host = SharingHost(sweeps=True) if settings.nats_url is not None else None
    async with open_bucket_to_fill(settings.s3, settings.data_dir, host, adopt=adopt) as bucket:
        yield bucket


def _refuse_others(source: Path) -> None:
    """Check that no other process, as a worker on another host, uses a directory.

    :raises CannotMove: one does.
    """
    # Without the mark of the core no worker takes the directory for the core's any more.
    (source / MARK_FILE).unlink(missing_ok=True)
    if others := count_sessions(source / TMP_DIR):
        raise CannotMove(f"{others} processes use {source}: stop the workers on all hosts first")


def _report_different(move: Move, progress: Progress) -> int:
    for key in progress.different[:MAX_LISTED]:
        printing.write_stderr(f"ilios: other bytes are in {move.target_name} under the key {key}")
    printing.write_stderr(
        f"ilios: {len(progress.different)} blobs differ and were not replaced: delete the wrong "
        f"one of each, and run the command again. {_shown(progress)} are there. Nothing was removed"
    )
    return ExitCode.SOME_FAILED


class _Shown:
    """Lines about the progress on stderr, for moves that take a while."""

    def __init__(self) -> None:
        self._next = time.monotonic() + SHOW_EVERY

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + SHOW_EVERY
            printing.write_stderr(f"ilios: {_shown(progress)}")


def _shown(progress: Progress) -> str:
    return f"{progress.proven} blobs ({progress.proven_bytes / MIB:.1f} MiB), proven by SHA-256,"
