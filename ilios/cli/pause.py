"""``ilios pause``: fetchers or converters take no work for a while, on every host."""

import argparse
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from bus import pauses
from bus.connection import Connection
from bus.pauses import LONGEST_PAUSE, NothingToPause
from ilios.cli import ExitCode, printing
from ilios.cli.on_bus import run_on_bus
from ilios.cli.status import instant
from ilios.worker_composition import CONSUMERS, ROLES, Role

USUAL_PAUSE = timedelta(days=1)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios pause``."""
    parser.description = (
        "Have a role take no work on any host, until the pause ends or ilios resume. What is in "
        "hand is finished, submissions are accepted, and no attempts are counted. The pause is "
        "stored by the NATS server. Exit code 0: done; 3: the bus cannot be reached."
    )
    add_roles(parser)
    parser.add_argument(
        "--for",
        dest="span",
        type=duration,
        default=USUAL_PAUSE,
        metavar="TIME",
        help="how long, as 30m, 2h or 7d (default: 1d)",
    )


def add_roles(parser: argparse.ArgumentParser) -> None:
    """Add the argument for roles."""
    parser.add_argument(
        "roles",
        nargs="+",
        choices=ROLES,
        metavar="ROLE",
        help="fetcher (brings originals in) or ocr (converts them), or both",
    )


def duration(text: str) -> timedelta:
    """Parse a number with its unit."""
    match = re.fullmatch(r"([0-9]{1,7})([smhd])", text)
    span = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else timedelta()
    if not timedelta() < span <= LONGEST_PAUSE:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time like 30m, 2h or 7d, of at most {LONGEST_PAUSE.days} days"
        )
    return span


def run(options: argparse.Namespace) -> int:
    """Pause the roles; returns the exit code."""
    until = datetime.now(UTC) + options.span

    async def pause(connection: Connection, role: Role) -> str:
        await pauses.pause(connection, CONSUMERS[role], until)
        return f"{role} is paused until {instant(until)}; ilios resume {role} ends it"

    return for_each_role(options.roles, pause)


def for_each_role(roles: list[Role], act: Callable[[Connection, Role], Awaitable[str]]) -> int:
    """Act on each role and print what was done; returns the exit code."""

    async def act_on_all(connection: Connection) -> int:
        for role in dict.fromkeys(roles):
            printing.write_stdout(f"{await act(connection, role)}\n")
        return ExitCode.OK

    return run_on_bus(act_on_all, cannot_start=(NothingToPause,))
