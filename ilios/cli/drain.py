"""``ilios drain``: the processes of a host take no more work, and finish what they have."""

import argparse
import asyncio
import time

from bus import cluster
from bus.connection import Connection
from ilios.cli import ExitCode, printing
from ilios.cli.on_bus import run_on_bus
from ilios.cluster_status import read_hosts
from ilios.settings import values
from schemas.hosts import HostState

POLL_INTERVAL = 0.5  # seconds between two questions whether a host is drained


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios drain``."""
    parser.description = (
        "Have the workers of a host take no more work. They finish what is in hand, give back "
        "what is not begun, and stay, also over restarts, until --undo. Exit code 0: done; "
        "1: there is no such host, or it still has work in hand; 3: the bus cannot be reached."
    )
    parser.add_argument("host", type=_name, metavar="HOST", help="as ilios status shows it")
    parser.add_argument("--undo", action="store_true", help="have it take work again")
    parser.add_argument(
        "--wait",
        type=_seconds,
        metavar="SECONDS",
        help="wait until it has nothing in hand, at most so long",
    )


def run(options: argparse.Namespace) -> int:
    """Drain the host, or undo that; returns the exit code."""
    return run_on_bus(lambda connection: _run(connection, options))


async def _run(connection: Connection, options: argparse.Namespace) -> int:
    name: str = options.host
    if options.undo:
        await cluster.set_drained(connection, name, drained=False)
        printing.write_stdout(f"{name} takes work\n")
        return ExitCode.OK
    hosts = await read_hosts(connection)
    if not any(one.host == name for one in hosts):
        there = ", ".join(sorted({one.host for one in hosts})) or "none"
        printing.write_stderr(f"ilios: no process of {name} answers; hosts that do: {there}")
        return ExitCode.SOME_FAILED
    await cluster.set_drained(connection, name, drained=True)
    printing.write_stdout(f"{name} takes no more work; ilios drain {name} --undo ends that\n")
    if options.wait is None:
        return ExitCode.OK
    return await _wait(connection, name, options.wait)


async def _wait(connection: Connection, name: str, within: float) -> int:
    """Wait until the processes of a host have nothing in hand, or are gone."""
    deadline = time.monotonic() + within
    while True:
        processes = [one for one in await read_hosts(connection) if one.host == name]
        if all(_is_empty(one) for one in processes):
            printing.write_stdout(f"{name} has nothing in hand\n")
            return ExitCode.OK
        if time.monotonic() > deadline:
            left = sum(role.in_hand for one in processes for role in one.roles.values())
            printing.write_stderr(f"ilios: {name} still has {left} documents in hand")
            return ExitCode.SOME_FAILED
        await asyncio.sleep(POLL_INTERVAL)


def _is_empty(process: HostState) -> bool:
    return process.drained and not any(role.in_hand for role in process.roles.values())


def _name(text: str) -> str:
    try:
        return values.host_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def _seconds(text: str) -> float:
    try:
        return values.seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
