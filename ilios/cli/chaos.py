"""``ilios chaos``: kills the service at random and says whether it has kept its promises."""

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
from ilios.chaos.faults import Stalled
from ilios.chaos.plan import most_kills
from ilios.chaos.report import Report, table
from ilios.chaos.trial import Trial, try_out
from ilios.chaos.victims import DidNotStart, ServiceProcess
from ilios.cli import exit_codes, printing
from ilios.visible import visible, visible_json

SEEDS = 10_000
CANCEL_AGAIN_AFTER = 10.0  # seconds; more than it takes to end every process and clear up


class WrongUsage(Exception):
    """What was typed cannot be done here."""


def run(options: argparse.Namespace) -> int:
    """Run a trial; what is left of it is removed, unless it failed or is to be kept."""
    try:
        trial = _trial(options)
        directory = _directory(options.directory)
    except WrongUsage as error:
        printing.complain(error)
        return exit_codes.USAGE
    # What we say of the bus as its client is no news: it is killed on purpose.
    logs.set_up("error")
    code = exit_codes.SOME_FAILED
    try:
        code = _run(trial, directory, as_json=options.json)
    except printing.CannotPrint as error:
        printing.complain(error)
        code = exit_codes.SOME_FAILED
    finally:
        if options.keep or code in (exit_codes.SOME_FAILED, exit_codes.CANNOT_START):
            print(f"kept: {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return code


def _run(trial: Trial, directory: Path, *, as_json: bool) -> int:
    try:
        report = asyncio.run(_until_signalled(trial, directory))
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    except DidNotStart as error:
        printing.complain(error)
        return exit_codes.CANNOT_START
    except Stalled as error:
        printing.complain(error)
        _say(_again(trial))
        return exit_codes.SOME_FAILED
    if as_json:
        printing.say(visible_json(msgspec.json.encode(_figures(report)).decode()) + "\n")
    else:
        printing.say(visible(table(report), lines=True))
    if report.kept:
        return exit_codes.OK
    _say(_again(trial))
    return exit_codes.SOME_FAILED


async def _until_signalled(trial: Trial, directory: Path) -> Report:
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, told.set)
    loop.set_exception_handler(logs.tell_of_loop)
    trying = asyncio.create_task(try_out(trial, ServiceProcess(directory), _say))
    hearing = asyncio.create_task(told.wait())
    await asyncio.wait({trying, hearing}, return_when=asyncio.FIRST_COMPLETED)
    hearing.cancel()
    if not told.is_set():
        return await trying
    while not trying.done():
        # Before Python 3.12 a library's wait_for can forget a cancellation.
        trying.cancel()
        await asyncio.wait({trying}, timeout=CANCEL_AGAIN_AFTER)
    await asyncio.gather(trying, return_exceptions=True)
    raise KeyboardInterrupt


def _trial(options: argparse.Namespace) -> Trial:
    if sys.platform != "linux":
        raise WrongUsage("processes are found by /proc, which only Linux has")
    for name, least in (("documents", 1), ("kills", 0), ("clients", 1)):
        if getattr(options, name) < least:
            raise WrongUsage(f"--{name} must be {least} at least")
    if options.within <= 0:
        raise WrongUsage("--within must be more than 0 seconds")
    if options.kills > most_kills(options.documents):
        most = most_kills(options.documents)
        raise WrongUsage(
            f"{options.documents} documents leave room for {most} kills: between any two of them "
            "something has to go on"
        )
    seed = secrets.randbelow(SEEDS) if options.seed is None else options.seed
    return Trial(
        documents=options.documents,
        kills=options.kills,
        seed=seed,
        clients=options.clients,
        within=options.within,
    )


def _directory(typed: str | None) -> Path:
    if typed is None:
        return Path(tempfile.mkdtemp(prefix="ilios-chaos-"))
    directory = Path(typed).absolute()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise WrongUsage(f"{directory} is not empty")
    except OSError as error:
        raise WrongUsage(f"{directory} cannot be used: {error.strerror}") from error
    return directory


def _figures(report: Report) -> dict[str, object]:
    figures = msgspec.to_builtins(report)
    assert isinstance(figures, dict)
    return {"kept": report.kept, **figures}


def _again(trial: Trial) -> str:
    return (
        "to repeat it: ilios chaos "
        f"--documents {trial.documents} --kills {trial.kills} --seed {trial.seed} "
        "(the same faults at the same progress; no two runs are the same to the millisecond)"
    )


def _say(line: str) -> None:
    printing.warn(line)
