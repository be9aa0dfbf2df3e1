"""``ilios run``: runs workers on this host for a core on another one, until a signal stops them."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from typing import cast

import structlog

from actors.engines import EngineCrashed
from actors.ports import StorageForeign, StorageMisconfigured
from bus.errors import BusMisconfigured
from ilios import __version__, logs
from ilios.cli import ExitCode, printing
from ilios.cli.until_signal import Stop, until_signal
from ilios.cluster_facts import CannotJoin
from ilios.joining import Join, as_set
from ilios.listening import CannotListen
from ilios.runtime import event_loop, process_settings
from ilios.runtime.locks import AlreadyInUse, CannotLock
from ilios.secret import SecretsDamaged
from ilios.settings import environ
from ilios.settings.settings import Settings
from ilios.worker import Worker, worker
from ilios.worker_composition import ROLES, Role

_WRONG_SETTINGS = (BusMisconfigured, CannotJoin, StorageForeign, StorageMisconfigured)
_CANNOT_START = (
    AlreadyInUse,
    CannotListen,
    CannotLock,
    EngineCrashed,
    SecretsDamaged,
    printing.CannotPrint,
)

log = structlog.get_logger("worker")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios run``."""
    parser.description = (
        "Run workers for a core on another host. They need its NATS server (NATS_URL) and its "
        "blobs (S3_BUCKET or ILIOS_SHARED_BLOBS)."
    )
    parser.add_argument(
        "roles",
        nargs="+",
        choices=ROLES,
        metavar="ROLE",
        help="fetcher (brings originals in) or ocr (converts them), or both",
    )


def run(options: argparse.Namespace) -> int:
    """Work until SIGINT, SIGTERM or SIGHUP; returns the exit code."""
    environ.add_env_file(os.environ, environ.ENV_FILE)
    settings = environ.from_environ(os.environ)
    chosen = cast("list[Role]", options.roles)
    roles = tuple(one for one in ROLES if one in chosen)
    return work(settings, lambda: as_set(settings, roles), environ.warnings(os.environ))


def work(
    settings: Settings,
    decide: Callable[[], Join],
    warnings: list[str],
    *,
    joins_again: bool = False,
) -> int:
    """Run the workers of this host until a signal stops them; returns the exit code.

    With ``joins_again`` a core that no longer agrees with this host is joined with what it now has.
    """
    logs.set_up(settings.log_level, settings.log_format)
    for warning in warnings:
        log.warning(warning)
    try:
        event_loop.run(_work(settings, decide(), joins_again=joins_again))
    except _CANNOT_START as error:
        print(f"ilios cannot start: {error}", file=sys.stderr)
        return ExitCode.CANNOT_START
    except _WRONG_SETTINGS as error:
        print(f"ilios cannot work here: {error}", file=sys.stderr)
        return ExitCode.USAGE
    except OSError as error:
        where = error.filename or settings.data_dir
        print(f"ilios cannot start: {where} cannot be used ({error.strerror})", file=sys.stderr)
        return ExitCode.CANNOT_START
    return ExitCode.OK


async def _work(settings: Settings, join: Join, *, joins_again: bool) -> None:
    async with until_signal() as stop:
        while not stop.is_set:
            async with worker(settings, join) as running:
                stop.started()
                process_settings.freeze_objects()
                printing.write_stdout(banner(running))
                try:
                    await _wait_for_end(stop, running)
                except CannotJoin as error:
                    if not joins_again:
                        raise
                    log.warning("joining again", reason=str(error))
                    stop.starting()


async def _wait_for_end(stop: Stop, running: Worker) -> None:
    """Wait for a signal.

    :raises CannotJoin: the core no longer agrees with this host.
    """
    signalled = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([signalled, running.disagreement], return_when=asyncio.FIRST_COMPLETED)
    finally:
        signalled.cancel()
    if running.disagreement.done() and not stop.is_set:
        running.disagreement.result()


def banner(running: Worker) -> str:
    """Return where everything is, on one screen."""
    joined = running.joined
    settings = joined.settings
    place = settings.s3
    blobs = f"bucket {place.bucket} at {place.location}" if place else str(settings.shared_blobs)
    lines = [
        f"ilios {__version__} works: {', '.join(joined.roles)} on {settings.name}",
        "",
        f"  HTTP     {running.url}  (/livez, /readyz)",
        f"  blobs    {blobs}",
        f"  engine   {running.engine}",
        f"  bus      {running.bus}",
        *([f"  as core  {', '.join(joined.adopted)}"] if joined.adopted else []),
        "",
        *([joined.note, ""] if joined.note else []),
        "Ctrl-C stops it; what it has in hand goes to others.",
        "",
    ]
    return "\n".join(lines)
