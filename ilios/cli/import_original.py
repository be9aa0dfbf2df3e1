"""``ilios import-original``: takes over the documents of the service that ilios replaces."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import msgspec

from actors.ports import StorageUnavailable
from bus.connection import Connection
from bus.errors import BusFull, EventTooLarge
from ilios.blobs.factory import open_blobs
from ilios.blobs.former import open_former_files
from ilios.blobs.s3 import S3Config, SharingHost
from ilios.cli import ExitCode, command, printing
from ilios.cli.on_bus import run_on_bus
from ilios.database.original import NotTheOriginal, open_original
from ilios.nats.access import tenants_of
from ilios.original_import import Importer, ImportReport, LeftOut
from ilios.settings.settings import Settings
from ilios.visible import visible

MAX_LISTED = 10  # documents that are named one by one
PROBE_ID = "import"


class NoFiles(Exception):
    """No place of the files is given; the message has the next step."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios import-original``."""
    parser.description = (
        "Import documents, bills and batches of the original service, with their ids, from its "
        "SQLite file and its bucket, both of which are only read. A service has run on the data "
        "directory before; it may run now. An import that was interrupted goes on when the command "
        "is run again, and nothing is imported twice. Exit code 0: all are imported; 1: some are "
        "not, which are named; 2: an argument has to be changed; 3: the bus or a store cannot be "
        "used."
    )
    parser.add_argument("database", type=Path, metavar="FILE", help="its SQLite file")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--files", type=Path, metavar="DIR", help="a copy of its bucket")
    place.add_argument(
        "--bucket", help="its bucket, with endpoint and keys of AWS_* (default: S3_BUCKET)"
    )
    parser.add_argument("--check", action="store_true", help="change nothing, only count")
    parser.add_argument(
        "--accept-missing", action="store_true", help="also documents whose file is missing"
    )
    parser.add_argument(
        "--convert", action="store_true", help="convert the documents that had not ended"
    )


def run(options: argparse.Namespace) -> int:
    """Import and report; returns the exit code."""
    settings = command.read_settings()
    try:
        place = _place(settings, options)
        with open_original(options.database):
            pass  # before a bus is started
    except (NoFiles, NotTheOriginal) as error:
        printing.print_error(error)
        return ExitCode.USAGE
    return run_on_bus(
        lambda connection: _run(connection, settings, place, options),
        cannot_start=(StorageUnavailable, NotTheOriginal, BusFull, EventTooLarge),
    )


def _place(settings: Settings, options: argparse.Namespace) -> Path | S3Config:
    """Return where the files of the original are.

    :raises NoFiles: nothing names the place.
    """
    if options.files is not None:
        files: Path = options.files
        if not files.is_dir():
            raise NoFiles(f"{files} is not a directory")
        return files
    bucket = options.bucket or settings.s3_bucket
    if bucket is None:
        raise NoFiles("name the files of the original: --files DIR, --bucket NAME, or S3_BUCKET")
    ours = msgspec.structs.replace(settings, s3_bucket=bucket, s3_prefix="").s3
    assert ours is not None
    return ours


async def _run(
    connection: Connection,
    settings: Settings,
    place: Path | S3Config,
    options: argparse.Namespace,
) -> int:
    host = SharingHost(sweeps=False, probe_id=PROBE_ID)
    async with (
        open_blobs(
            settings.s3, settings.data_dir, shared=settings.shared_blobs, host=host
        ) as blobs,
        open_former_files(place) as files,
    ):
        importer = Importer(
            connection,
            blobs,
            files,
            check=options.check,
            accept_missing=options.accept_missing,
            convert=options.convert,
        )
        with open_original(options.database) as database:
            report = await importer.run(database)
    lines = format_lines(report, tenants_of(settings), check=options.check)
    printing.write_stdout("".join(f"{line}\n" for line in lines))
    return ExitCode.SOME_FAILED if report.refused or report.missing_files else ExitCode.OK


def format_lines(report: ImportReport, tenants: tuple[str, ...], *, check: bool) -> Iterator[str]:
    """Yield what was imported, and what was not."""
    done = "would be imported" if check else "imported"
    yield f"documents  {report.documents} {done}, {report.before} were before"
    yield f"batches    {report.batches} {done}"
    for count, what in (
        (report.without_file, "documents have no original, as their file is missing"),
        (report.unfinished, "documents had not ended and are failed; --convert converts them"),
        (report.requeued, "documents are converted now"),
        (report.joined_bills, "documents had several bills, which are added up to one"),
        (report.stray_bills, "bills are of documents without content and are left out"),
    ):
        if count:
            yield f"           {count} {what}"
    if strangers := sum(count for name, count in report.tenants.items() if name not in tenants):
        yield f"           {strangers} documents are of keys that API_KEY does not have"
    yield from _left_out("no file   ", report.missing_files, "--accept-missing imports them")
    yield from _left_out("left out  ", report.refused, "they cannot be imported")


def _left_out(title: str, found: list[LeftOut], what: str) -> Iterator[str]:
    for one in found[:MAX_LISTED]:
        yield f"{title} {visible(str(one.name))}: {visible(one.why)}"
    if len(found) > MAX_LISTED:
        yield f"{title} and {len(found) - MAX_LISTED} more"
    if found:
        yield f"{title} {len(found)} in all; {what}"
