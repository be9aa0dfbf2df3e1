"""``ilios chaos``: kills the service at random and verifies its promises."""

import argparse
import asyncio
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import msgspec

from ilios import logs
from ilios.chaos.hosts.network import CannotConfigure, open_network
from ilios.chaos.hosts.nodes import NotWhole
from ilios.chaos.hosts.plan import plan_over_hosts
from ilios.chaos.hosts.system import ServiceOnHosts
from ilios.chaos.plan import Fault, Stalled, max_kills, plan
from ilios.chaos.processes import DidNotStart, IsolatedService
from ilios.chaos.report import Report, render
from ilios.chaos.run import Trial, run_trial
from ilios.cli import ExitCode, printing
from ilios.visible import visible, visible_json

SEEDS = 10_000
NODES = (3, 5)  # of an even number more are needed for a majority, for nothing
CANCEL_RETRY_AFTER = 10.0  # seconds; more than it takes to end every process and clear up


class UsageError(Exception):
    """The arguments are invalid here."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios chaos``."""
    parser.description = (
        "Run the service in a directory of its own, submit documents, kill at random the service, "
        "its bus and its engine processes, and compare what was promised with the result. "
        "Exit code 0: every promise was kept; 1: one was broken; 3: the service does not start."
    )
    parser.add_argument("--documents", type=int, default=300, help="documents to accept (300)")
    parser.add_argument("--kills", type=int, default=40, help="and a pause for every 8 (40)")
    parser.add_argument("--seed", type=int, help="of faults and documents; default: a new one")
    parser.add_argument(
        "--hosts",
        type=int,
        metavar="COUNT",
        help="run workers on so many hosts besides, on a cluster of NATS nodes and shared blobs; "
        "--kills is then the number of faults of all kinds",
    )
    parser.add_argument("--nodes", type=int, metavar="COUNT", help="NATS nodes, 3 or 5 (3)")
    parser.add_argument("--clients", type=int, default=8, help="concurrent clients (8)")
    parser.add_argument(
        "--within",
        type=float,
        metavar="SECONDS",
        help="after the last fault every document must have ended, 99 of 100 in half of it "
        "(30; with hosts 60)",
    )
    parser.add_argument(
        "--directory", metavar="PATH", help="an empty one; default: a temporary one"
    )
    parser.add_argument("--keep", action="store_true", help="do not remove the directory")
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")


def run(options: argparse.Namespace) -> int:
    """Run a trial; its directory is removed, unless the trial failed or ``--keep`` is given."""
    try:
        trial = _parse_trial(options)
        directory = _prepare_directory(options.directory)
    except UsageError as error:
        printing.print_error(error)
        return ExitCode.USAGE
    # Warnings of our own bus client are no news: the bus is killed on purpose.
    logs.set_up("error")
    code: int = ExitCode.SOME_FAILED
    try:
        code = _run(trial, directory, as_json=options.json)
    except CannotConfigure as error:
        printing.print_error(error)
        code = ExitCode.CANNOT_START
    except printing.CannotPrint as error:
        printing.print_error(error)
        code = ExitCode.SOME_FAILED
    finally:
        if options.keep or code in (ExitCode.SOME_FAILED, ExitCode.CANNOT_START):
            print(f"kept: {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return code


def _run(trial: Trial, directory: Path, *, as_json: bool) -> int:
    try:
        # First of all: a network of its own is that of the thread that asks for it.
        service, planned = _build(trial, directory)
        report = asyncio.run(_until_signalled(trial, service, planned))
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except DidNotStart as error:
        printing.print_error(error)
        return ExitCode.CANNOT_START
    except (Stalled, NotWhole) as error:
        printing.print_error(error)
        _print_progress(_repeat_command(trial))
        return ExitCode.SOME_FAILED
    if as_json:
        printing.write_stdout(
            visible_json(msgspec.json.encode(_to_json_object(report)).decode()) + "\n"
        )
    else:
        printing.write_stdout(visible(render(report), lines=True))
    if report.passed:
        return ExitCode.OK
    _print_progress(_repeat_command(trial))
    return ExitCode.SOME_FAILED


def _build(trial: Trial, directory: Path) -> tuple[IsolatedService, list[Fault]]:
    """Return the service in its directory, and its faults."""
    if not trial.hosts:
        return IsolatedService(directory), plan(trial.documents, trial.kills, trial.seed)
    network = open_network()
    if not network.apart:
        _print_progress("no network namespaces here: nothing is cut off or slowed down")
    hosts = ServiceOnHosts(directory, network, trial.nodes, trial.hosts, trial.seed)
    planned = plan_over_hosts(
        trial.documents,
        trial.kills,
        trial.seed,
        has_network=network.apart,
        has_server=hosts.store.is_server,
    )
    return hosts, planned


async def _until_signalled(trial: Trial, service: IsolatedService, planned: list[Fault]) -> Report:
    loop, signalled = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, signalled.set)
    loop.set_exception_handler(logs.handle_loop_exception)
    running = asyncio.create_task(run_trial(trial, service, _print_progress, planned=planned))
    waiting = asyncio.create_task(signalled.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not signalled.is_set():
        return await running
    while not running.done():
        # Before Python 3.12 a library's wait_for can forget a cancellation.
        running.cancel()
        await asyncio.wait({running}, timeout=CANCEL_RETRY_AFTER)
    await asyncio.gather(running, return_exceptions=True)
    raise KeyboardInterrupt


def _parse_trial(options: argparse.Namespace) -> Trial:
    if sys.platform != "linux":
        raise UsageError("it finds processes by /proc, which only Linux has")
    for name, least in (("documents", 1), ("kills", 0), ("clients", 1)):
        if getattr(options, name) < least:
            raise UsageError(f"--{name} must be {least} at least")
    hosts, nodes = options.hosts or 0, options.nodes or 3
    if (options.hosts is not None and hosts < 1) or (options.nodes is not None and not hosts):
        raise UsageError("--hosts must be 1 at least, and --nodes needs it")
    if nodes not in NODES:
        raise UsageError("--nodes must be 3 or 5")
    within = (60.0 if hosts else 30.0) if options.within is None else options.within
    if within <= 0:
        raise UsageError("--within must be more than 0 seconds")
    if options.kills > max_kills(options.documents):
        most = max_kills(options.documents)
        raise UsageError(
            f"{options.documents} documents leave room for {most} kills: between any two of them "
            "a document must be accepted or end; use more documents or fewer kills"
        )
    seed = secrets.randbelow(SEEDS) if options.seed is None else options.seed
    return Trial(
        documents=options.documents,
        kills=options.kills,
        seed=seed,
        clients=options.clients,
        within=within,
        hosts=hosts,
        nodes=nodes if hosts else 0,
    )


def _prepare_directory(typed: str | None) -> Path:
    if typed is None:
        return Path(tempfile.mkdtemp(prefix="ilios-chaos-"))
    directory = Path(typed).absolute()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise UsageError(f"{directory} is not empty")
    except OSError as error:
        raise UsageError(f"{directory} cannot be used: {error.strerror}") from error
    return directory


def _to_json_object(report: Report) -> dict[str, object]:
    figures = msgspec.to_builtins(report)
    assert isinstance(figures, dict)
    return {"kept": report.passed, **figures}


def _repeat_command(trial: Trial) -> str:
    return (
        "to repeat it: ilios chaos "
        f"--documents {trial.documents} --kills {trial.kills} --seed {trial.seed} "
        + (f"--hosts {trial.hosts} --nodes {trial.nodes} " if trial.hosts else "")
        + "(the same faults at the same progress; no two runs are the same to the millisecond)"
    )


def _print_progress(line: str) -> None:
    printing.write_stderr(line)
