"""``ilios serve``: everything inside, until it is told to stop."""

import argparse
import asyncio
import os
import shlex
import signal
import sys
from importlib.resources import files
from pathlib import Path

import structlog

from actors.ports import EngineCrashed
from bus.errors import BusUnavailable
from bus.reader import ReaderTaken
from ilios import __version__, logs
from ilios import settings as table
from ilios.cli import check, exit_codes
from ilios.database.connection import DatabaseDamaged
from ilios.database.migrations import NewerDatabase
from ilios.locks import AlreadyInUse
from ilios.nats_server import BusDidNotStart
from ilios.service import CannotListen, Service, service

log = structlog.get_logger("serve")

_CANNOT_START = (
    AlreadyInUse,
    BusDidNotStart,
    BusUnavailable,
    CannotListen,
    DatabaseDamaged,
    EngineCrashed,
    NewerDatabase,
    ReaderTaken,
)


def run(_options: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code."""
    try:
        settings = table.from_environ(os.environ)
    except table.BadSettings as error:
        check.print_problems(error)
        return exit_codes.USAGE
    logs.set_up(settings.log_level, settings.log_format)
    for warning in table.warnings(os.environ):
        log.warning(warning)
    try:
        asyncio.run(_serve(settings))
    except _CANNOT_START as error:
        print(f"ilios cannot start: {error}", file=sys.stderr)
        return exit_codes.CANNOT_START
    return exit_codes.OK


async def _serve(settings: table.Settings) -> None:
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            # Asked twice: leave at once. What is in hand is on the log and comes again.
            os._exit(exit_codes.INTERRUPTED)
        log.info("stopping; a second signal stops at once")
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    async with service(settings) as running:
        sys.stdout.write(banner(running))
        sys.stdout.flush()
        await stop.wait()
    log.info("stopped")


def banner(running: Service) -> str:
    """Say on one screen where everything is and what to try first."""
    settings = running.settings
    sample = _near(Path(str(files("ilios"))) / "samples" / "hello.pdf")
    key = '-H "Authorization: Bearer $API_KEY" ' if settings.api_keys else ""
    lines = [
        f"ilios {__version__} turns documents into Markdown",
        "",
        f"  HTTP     {running.url}",
        f"  data     {_near(settings.data_dir)}",
        f"  engine   {running.engine}",
        f"  bus      {running.bus}",
    ]
    if running.operator_url_file:
        credentials = shlex.quote(str(_near(running.operator_url_file)))
        lines.append(f'           nats --server "$(cat {credentials})" stream ls')
    lines += [
        "",
        "Try it:",
        f"  curl {key}-F file=@{shlex.quote(str(sample))} {running.url}/v1/convert",
        "",
        "Ctrl-C stops it; nothing accepted is lost.",
        "",
    ]
    return "\n".join(lines)


def _near(path: Path) -> Path:
    """Return the path as it is shortest to type from here."""
    absolute = path.absolute()
    here = Path.cwd()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else absolute
