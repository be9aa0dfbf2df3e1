"""``ilios database``: encrypts the database of a stopped service, or gives it another key."""

import argparse
from pathlib import Path

from ilios.cli import ExitCode, command, printing
from ilios.data_directory import refuse_foreign_database
from ilios.database import encryption
from ilios.database.connection import lock_file, rebuilt_file
from ilios.database.foreign import ForeignDatabase
from ilios.database.recovery import conversion
from ilios.runtime.locks import AlreadyInUse, CannotLock, exclusive_lock
from ilios.settings.encryption import read_database_key
from ilios.settings.settings import Settings


class NoKey(Exception):
    """A key is missing or cannot be used; the message names the setting."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios database``."""
    parser.description = (
        "Rewrite the database, its snapshots and what a rebuild has set aside. The service must "
        "not run. It may be killed at any time, and then be repeated with the same key. "
        "Exit code 0: done; 1: some files could not be rewritten; 2: a key cannot be used; "
        "3: it cannot begin."
    )
    actions = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    actions.add_parser("encrypt", help="encrypt them with DB_ENCRYPTION_KEY")
    rekey = actions.add_parser("rekey", help="encrypt them with another key")
    rekey.add_argument(
        "--new-key-file", metavar="FILE", required=True, help="file with the new key"
    )


def run(options: argparse.Namespace) -> int:
    """Rewrite the files; returns the exit code."""
    return command.run_on_data(
        lambda settings: _run(settings, options),
        cannot_start=(AlreadyInUse, CannotLock, OSError),
        log_level="warning",
    )


def _run(settings: Settings, options: argparse.Namespace) -> int:
    try:
        old_key, new_key = _keys(settings, options)
        command.claim_data(settings)
        with (
            exclusive_lock(settings.data_dir / "lock", f"the data directory {settings.data_dir}"),
            exclusive_lock(
                lock_file(settings.database_path), f"the database {settings.database_path}"
            ),
        ):
            if encryption.is_plain(settings.database_path):
                refuse_foreign_database(settings)
            return _rewrite(settings, old_key, new_key)
    except (ForeignDatabase, NoKey) as error:
        printing.print_error(error)
        return ExitCode.USAGE


def _keys(settings: Settings, options: argparse.Namespace) -> tuple[str | None, str]:
    """Return the old key, None for plain files, and the new one.

    :raises NoKey: one is missing, or too short.
    """
    try:
        given = settings.database_key
    except ValueError as error:
        raise NoKey(f"DB_ENCRYPTION_KEY_FILE: {error}") from error
    if given is None:
        raise NoKey(
            "DB_ENCRYPTION_KEY is not set: set it, or DB_ENCRYPTION_KEY_FILE, to a key of 16 "
            "characters or more, as from `openssl rand -hex 32`"
        )
    if options.what == "encrypt":
        return None, encryption.raw_key(given)
    try:
        wanted = read_database_key(Path(options.new_key_file))
    except ValueError as error:
        raise NoKey(f"--new-key-file: {error}") from error
    return encryption.raw_key(given), encryption.raw_key(wanted)


def _rewrite(settings: Settings, old_key: str | None, new_key: str) -> int:
    database, snapshots = settings.database_path, settings.snapshots_dir
    if not database.exists() and rebuilt_file(database).exists():
        printing.print_error(NoKey("a rebuild was broken off: run `ilios rebuild` first"))
        return ExitCode.CANNOT_START
    failed = False
    for one in conversion.rewrite_all(database, snapshots, old_key, new_key):
        failed |= one.fault is not None
        done = "encrypted" if one.rewritten else "has this key already"
        printing.write_stdout(f"{one.path}: {f'NOT: {one.fault}' if one.fault else done}\n")
    plain = conversion.find_plain(database, snapshots)
    for path in plain:
        printing.write_stdout(f"{path}: NOT encrypted; delete it with what lies beside it\n")
    if failed or plain:
        return ExitCode.SOME_FAILED
    printing.write_stdout(
        "Whoever loses the key loses all of it, and nobody can help: store it apart from the data. "
        "Copies elsewhere, and freed blocks of the disk, are as they were.\n"
    )
    return ExitCode.OK
