"""``ilios serve``: runs the service until a signal stops it."""

import argparse
import asyncio
import os
import shlex
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import structlog

from actors.engines import EngineCrashed
from actors.ports import StorageForeign, StorageMisconfigured
from bus.epochs import EpochStands
from bus.errors import BusMisconfigured, Superseded
from bus.reader import ReaderInUse
from ilios import __version__, logs
from ilios.cli import ExitCode, printing
from ilios.cli.until_signal import Stop, until_signal
from ilios.data_directory import NewerData
from ilios.database.connection import DatabaseDamaged
from ilios.database.foreign import ForeignDatabase
from ilios.database.key_check import KeyRefused
from ilios.database.migrations import NewerDatabase
from ilios.edge_process.process import EdgeCannotStart
from ilios.listening import CannotListen
from ilios.nats.server import BusDidNotStart
from ilios.runtime import engine_memory, event_loop, process_settings
from ilios.runtime.locks import AlreadyInUse, CannotLock
from ilios.secret import SecretsDamaged
from ilios.service import Service, service
from ilios.settings import environ
from ilios.settings.settings import Settings

_REMEDY = "see ILIOS_DATA_DIR and LOCAL_DB_PATH"

log = structlog.get_logger("serve")


class CannotStore(Exception):
    """The directories or files of the data cannot be used."""


_WRONG_SETTINGS = (BusMisconfigured, ForeignDatabase, KeyRefused, StorageMisconfigured)
"""The bus, database or bucket of the settings refuses the service."""
_CANNOT_START = (
    AlreadyInUse,
    BusDidNotStart,
    CannotLock,
    CannotListen,
    CannotStore,
    DatabaseDamaged,
    EdgeCannotStart,
    EngineCrashed,
    EpochStands,
    NewerData,
    NewerDatabase,
    ReaderInUse,
    SecretsDamaged,
    StorageForeign,
    printing.CannotPrint,
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the argument of ``ilios serve``."""
    parser.description = (
        "Start the service. Settings come from the environment and from ./.env; see `ilios check`."
    )
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="on a NATS_URL: replace the service on another host or in another data directory "
        "that has the log; it ends as soon as it notices",
    )


def run(options: argparse.Namespace) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP; returns the exit code."""
    from_file = environ.add_env_file(os.environ, environ.ENV_FILE)
    settings = environ.from_environ(os.environ)
    logs.set_up(settings.log_level, settings.log_format)
    if from_file:
        log.info("settings file read", path=str(environ.ENV_FILE.absolute()), names=from_file)
    for warning in (
        *environ.warnings(os.environ),
        *process_settings.file_limit_warnings(settings.max_connections),
        *engine_memory.warnings(
            os.environ, settings.engine_memory_bytes, settings.engine_processes
        ),
    ):
        log.warning(warning)
    try:
        event_loop.run(_serve(settings, take_over=options.take_over))
    except Superseded as error:
        print(f"ilios ends: {error}", file=sys.stderr)
        return ExitCode.CANNOT_START
    except _CANNOT_START as error:
        why = str(error) or "nobody reads its stdout"
        print(f"ilios cannot start: {why}", file=sys.stderr)
        return ExitCode.CANNOT_START
    except _WRONG_SETTINGS as error:
        print(f"ilios cannot start: {error}", file=sys.stderr)
        return ExitCode.USAGE
    return ExitCode.OK


async def _serve(settings: Settings, *, take_over: bool) -> None:
    async with until_signal() as stop, _run_service(settings, take_over=take_over) as running:
        stop.started()
        process_settings.freeze_objects()
        printing.write_stdout(banner(running))
        await _wait_for_end(stop, running)


async def _wait_for_end(stop: Stop, running: Service) -> None:
    """Wait for a signal.

    :raises Superseded: another core has taken over.
    """
    if running.superseded is None:
        await stop.wait()
        return
    signalled = asyncio.create_task(stop.wait())
    ends: list[asyncio.Future[Any]] = [signalled, running.superseded]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        signalled.cancel()
    if running.superseded.done():
        raise Superseded(f"its log belongs to another core now: {running.superseded.result()}")


@asynccontextmanager
async def _run_service(settings: Settings, *, take_over: bool) -> AsyncIterator[Service]:
    """Run the service; errors of the file system at its start get a message of their own.

    :raises CannotStore: a directory, a file or the database cannot be used.
    """
    async with AsyncExitStack() as stack:
        try:
            running = await stack.enter_async_context(service(settings, take_over=take_over))
        except OSError as error:
            where = error.filename or settings.data_dir
            raise CannotStore(f"{where} cannot be used ({error.strerror}); {_REMEDY}") from error
        except sqlite3.OperationalError as error:
            where = settings.database_path
            raise CannotStore(f"{where} cannot be used ({error}); {_REMEDY}") from error
        yield running


def banner(running: Service) -> str:
    """Return where everything is and what to try first, on one screen."""
    settings = running.settings
    sample = _shortest_path(Path(str(files("ilios"))) / "samples" / "hello.pdf")
    # Several keys in one variable are not one key.
    key = "$API_KEY" if len(settings.api_keys) == 1 else "YOUR_KEY"
    header = f'-H "Authorization: Bearer {key}" ' if settings.api_keys else ""
    lines = [
        f"ilios {__version__} turns documents into Markdown",
        "",
        f"  HTTP     {running.url}",
        f"  data     {_shortest_path(settings.data_dir)}",
        *(
            [f"  blobs    bucket {place.bucket} at {place.location}"]
            if (place := settings.s3)
            else []
        ),
        f"  engine   {running.engine}",
        f"  bus      {running.bus}",
    ]
    if running.operator_url_file:
        credentials = shlex.quote(str(_shortest_path(running.operator_url_file)))
        lines.append(f'           nats --server "$(cat {credentials})" stream ls')
    lines += [
        "",
        "Try it:",
        f"  curl {header}-F file=@{shlex.quote(str(sample))} {running.url}/v1/convert",
        "",
        "Ctrl-C stops it; nothing accepted is lost.",
        "",
    ]
    return "\n".join(lines)


def _shortest_path(path: Path) -> Path:
    """Return the path relative to the working directory, if it lies below it."""
    absolute = path.absolute()
    here = Path.cwd()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else absolute
