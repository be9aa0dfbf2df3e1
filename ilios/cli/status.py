"""``ilios status``: the hosts of a service, what they have in hand, and what waits for them."""

import argparse
import asyncio
import sys
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from bus.connection import Connection
from bus.errors import BusUnavailable
from ilios.cli import ExitCode, printing
from ilios.cli.on_bus import run_on_bus
from ilios.cluster_status import read_status
from ilios.visible import visible
from schemas.hosts import HostState, LaneState, ServiceState

INTERVAL = 1.0  # seconds between two pictures
_HOST_HEAD = ("HOST", "KIND", "VERSION", "UP", "IN HAND", "ENGINE", "STATE")
_LANE_HEAD = ("QUEUE", "LANE", "WAITING", "UNFINISHED", "OLDEST", "")
_CLEAR = "\x1b[H\x1b[2J"
NOTHING_ANSWERS = "no core and no worker answers on this bus: start one (ilios serve, ilios join)"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios status``."""
    parser.description = (
        "Show the hosts of a service with their roles, versions and work in hand, and what waits "
        "in each lane, since when. Exit code 0: shown; 3: the bus cannot be reached, or no "
        "process of a service answers on it."
    )
    parser.add_argument("--json", action="store_true", help="one JSON object (a line each time)")
    parser.add_argument("--watch", action="store_true", help="again every second, until Ctrl-C")


def run(options: argparse.Namespace) -> int:
    """Show the state once, or again and again; returns the exit code."""
    try:
        return run_on_bus(lambda connection: _run(connection, options))
    except KeyboardInterrupt:
        if options.watch:
            return ExitCode.OK  # how it is ended
        raise


async def _run(connection: Connection, options: argparse.Namespace) -> int:
    code = await _show(connection, as_json=options.json, watch=options.watch)
    # Nothing is to be watched where no service runs; one could not start while this command has
    # the embedded bus.
    while options.watch and code == ExitCode.OK:
        await asyncio.sleep(INTERVAL)
        await _show(connection, as_json=options.json, watch=True)
    return code


async def _show(connection: Connection, *, as_json: bool, watch: bool) -> int:
    try:
        state = await read_status(connection)
    except BusUnavailable as error:
        if not watch:
            raise
        printing.print_error(error)
        return ExitCode.CANNOT_START
    if as_json:
        printing.write_stdout(msgspec.json.encode(state).decode() + "\n")
    else:
        if watch and sys.stdout.isatty():
            sys.stdout.write(_CLEAR)
            sys.stdout.flush()
        printing.write_stdout("\n".join([*picture(state), ""]))
    if not state.hosts:
        printing.write_stderr(f"ilios: {NOTHING_ANSWERS}")
        return ExitCode.CANNOT_START
    return ExitCode.OK


def picture(state: ServiceState) -> Iterator[str]:
    """Yield the lines for people."""
    now = datetime.fromisoformat(state.at)
    if state.hosts:
        yield from _table(
            [_HOST_HEAD, *(_host_row(host, now, state.drained) for host in state.hosts)]
        )
    running = {host.host for host in state.hosts}
    for name in state.drained:
        if name not in running:
            yield f"{visible(name)} is drained, and does not run"
    yield ""
    yield from _table([_LANE_HEAD, *map(_lane_row, state.lanes)])
    for host in state.hosts:
        for problem in host.problems:
            yield f"{visible(host.host)}: {visible(problem)}"


def _host_row(host: HostState, now: datetime, drained: Collection[str]) -> tuple[str, ...]:
    in_hand = ", ".join(f"{name} {role.in_hand}" for name, role in host.roles.items())
    engine = "-"
    if host.engine is not None:
        engine = f"{host.engine.processes} of {host.engine.limit}"
        if host.engine.lost_last_minute:
            engine += f", {host.engine.lost_last_minute} lost"
    up = (now - datetime.fromisoformat(host.started)).total_seconds()
    return (host.host, host.kind, host.version, span(up), in_hand, engine, _work(host, drained))


def _work(host: HostState, drained: Collection[str]) -> str:
    """Return whether a process takes work, and why it does not."""
    if host.host in drained and not host.drained:
        return "drained, which it notices within two seconds"
    closed = {name: "; ".join(role.reasons) for name, role in host.roles.items() if role.reasons}
    if not closed:
        return "takes work"
    if len(closed) == len(host.roles) and len(set(closed.values())) == 1:
        return f"takes none: {next(iter(closed.values()))}"
    return "; ".join(f"no {name}: {why}" for name, why in closed.items())


def _lane_row(lane: LaneState) -> tuple[str, ...]:
    oldest = "-" if lane.oldest_seconds is None else span(lane.oldest_seconds)
    paused = f"paused until {lane.paused_until}" if lane.paused_until else ""
    return (lane.role, lane.lane, str(lane.waiting), str(lane.unfinished), oldest, paused)


def span(seconds: float) -> str:
    """Return a duration for people, in its two largest units."""
    whole = max(0, int(seconds))
    for unit, smaller, size, step in (("d", "h", 86400, 3600), ("h", "m", 3600, 60)):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // step}{smaller}"
    return f"{whole // 60}m {whole % 60}s" if whole >= 60 else f"{whole}s"


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    shown = [[visible(cell) for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in shown) for place in range(len(shown[0]))]
    for row in shown:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def instant(time: datetime) -> str:
    """Return a time for people, to the second."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
