"""``ilios rebuild``: a new database from a snapshot and the log, proven before it is used."""

import argparse
import asyncio
import sqlite3
from collections.abc import Iterator

from actors.writes import DatabaseUnavailable
from bus.errors import BusUnavailable
from bus.reader import ReaderInUse
from ilios.cli import ExitCode, command, printing
from ilios.data_directory import refuse_foreign_database, unlock_database
from ilios.database.foreign import ForeignDatabase
from ilios.database.key_check import KeyRefused
from ilios.database.migrations import NewerDatabase
from ilios.database.recovery.comparison import TableDiff
from ilios.database.recovery.rebuild import Gap, NoSuchSnapshot, RebuildReport, rebuild
from ilios.nats.server import BusDidNotStart
from ilios.runtime.locks import AlreadyInUse, CannotLock
from ilios.secret import SecretsDamaged
from ilios.settings.settings import Settings

MAX_LISTED = 10  # rows or documents that are named one by one
SHOWN_DIGITS = 16  # of a digest
ACCEPT_GAP_HINT = "ilios rebuild --accept-gap continues anyway"

_CANNOT_START = (
    AlreadyInUse,
    BusDidNotStart,
    BusUnavailable,
    CannotLock,
    DatabaseUnavailable,
    NewerDatabase,
    NoSuchSnapshot,
    OSError,
    ReaderInUse,
    SecretsDamaged,
    sqlite3.Error,
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios rebuild``."""
    parser.description = (
        "Make the database again beside the old one, compare it with the log and the old one, and "
        "replace the old one if that proves it. The service must not run. "
        "Exit code 0: it is in order, or was replaced; 1: it was not, and why; 3: it cannot be."
    )
    parser.add_argument("--check", action="store_true", help="change nothing, only report")
    parser.add_argument(
        "--accept-gap",
        action="store_true",
        help="also where the log does not reach back to the snapshot, or rows would be given up",
    )
    parser.add_argument(
        "--snapshot",
        metavar="NAME",
        help="begin with this one, or with `none`; default: the one with most events",
    )


def run(options: argparse.Namespace) -> int:
    """Rebuild and report; returns the exit code."""
    return command.run_on_data(
        lambda settings: _run(settings, options),
        cannot_start=_CANNOT_START,
        log_level="warning",
    )


def _run(settings: Settings, options: argparse.Namespace) -> int:
    command.claim_data(settings)
    try:
        unlock_database(settings)
        refuse_foreign_database(settings)
        report = asyncio.run(
            rebuild(
                settings,
                check=options.check,
                accept_gap=options.accept_gap,
                snapshot=options.snapshot,
            )
        )
    except (ForeignDatabase, KeyRefused) as refused:
        printing.print_error(refused)
        return ExitCode.USAGE
    except Gap as gap:
        printing.print_error(
            Gap(f"{gap}. Nothing was changed; {ACCEPT_GAP_HINT}, without the missing events")
        )
        return ExitCode.SOME_FAILED
    printing.write_stdout(
        "".join(f"{line}\n" for line in format_lines(report, check=options.check))
    )
    succeeded = report.is_proven and (report.is_sound or report.replaced)
    return ExitCode.OK if succeeded else ExitCode.SOME_FAILED


def format_lines(report: RebuildReport, *, check: bool) -> Iterator[str]:
    """Yield what was found, and what was done about it."""
    yield from _sources(report)
    yield ""
    yield from (_table(one, had_old=report.had_old) for one in report.compared.tables)
    if report.compared.prices_copied:
        yield f"{report.compared.prices_copied} bills keep the prices of the old database"
    yield ""
    yield from _proof(report)
    yield from _old_database(report)
    yield ""
    yield _verdict(report, check=check)


def _sources(report: RebuildReport) -> Iterator[str]:
    for path, fault in report.skipped:
        yield f"snapshot   {path.name} cannot be used: {fault}"
    yield f"snapshot   {report.snapshot.name if report.snapshot else 'none'}"
    extent, made = report.extent, report.build
    if extent is not None:
        yield f"log        events {extent.first} to {extent.last} of the log of {extent.created}"
    refused = f", {made.refused} could not be (dead letters)" if made.refused else ""
    malformed = f", {made.malformed} are malformed" if made.malformed else ""
    yield f"applied    {made.applied} events{refused}{malformed}"
    if report.gap:
        yield f"missing    {report.gap}"


def _table(one: TableDiff, *, had_old: bool) -> str:
    made = f"{one.table:<10} {one.rows} rows, SHA-256 {one.digest[:SHOWN_DIGITS]}"
    if not had_old:
        return made
    if one.identical:
        return f"{made}; equal in the old database"
    if one.old_digest is None or one.old_rows is None:
        return f"{made}; the old database cannot be read whole"
    return f"{made}; the old database has {one.old_rows} rows, {one.old_digest[:SHOWN_DIGITS]}"


def _proof(report: RebuildReport) -> Iterator[str]:
    wrong = len(report.disagreements)
    for fault in report.faults:
        yield f"WRONG      {fault}"
    if report.is_proven:
        yield (
            "proof      two rebuilds are equal; they agree with the log about "
            f"{len(report.build.index.documents)} documents, and their usage"
        )
    for one in report.disagreements[:MAX_LISTED]:
        yield f"WRONG      {'/'.join(one.name)}: {one.why}"
    if wrong > MAX_LISTED:
        yield f"WRONG      and {wrong - MAX_LISTED} more"
    for one in report.excused[:MAX_LISTED]:
        yield f"dead       {'/'.join(one.name)}: {one.why}; one of its events is a dead letter"


def _old_database(report: RebuildReport) -> Iterator[str]:
    if not report.had_old:
        yield "old        there is no old database"
    elif report.old_fault:
        yield f"old        damaged: {report.old_fault}"
    elif report.equal:
        yield "old        sound, and equal row by row"
    elif report.is_sound and not report.is_behind:
        yield "old        sound; it lacks rows that earlier versions did not store"
    elif report.is_sound:
        yield "old        sound; it is behind the log, which the service catches up with"
    else:
        yield "old        sound, but different"
    for one in report.unexplained:
        for what, keys in (
            ("differ in the old database", one.changed),
            ("differ in the old, damaged file; the new ones are from the log", one.overruled),
            ("are only in the old database", one.gone),
        ):
            if keys:
                named = ", ".join("/".join(map(str, key)) for key in keys[:MAX_LISTED])
                more = f" and {len(keys) - MAX_LISTED} more" if len(keys) > MAX_LISTED else ""
                yield f"{one.table:<10} {len(keys)} rows {what}: {named}{more}"


def _verdict(report: RebuildReport, *, check: bool) -> str:
    if not report.is_proven:
        return "Nothing was changed: the rebuilt database is wrong. Please report this."
    if report.replaced:
        renamed = f"; the old one is now {report.old.name}" if report.old else ""
        return f"{report.database} was rebuilt{renamed}."
    if report.is_sound:
        return "Nothing was changed: the database is in order."
    if report.would_lose_data:
        return f"Nothing was changed: rows of the old database would be lost; {ACCEPT_GAP_HINT}."
    return "Nothing was changed, as this was a check." if check else "Nothing was changed."
