"""``ilios losses``: lists or accepts events that the log has lost."""

import argparse
from collections.abc import Iterator

from ilios.cli import ExitCode, command, printing
from ilios.integrity import losses
from ilios.integrity.losses import Loss, LossesFile, describe
from ilios.settings.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios losses``."""
    parser.description = (
        "List events that are gone from the log before their time, documents that wait for one of "
        "them, and originals that no document owns; also while the service runs. "
        "Exit code 0: nothing is lost, or all is accepted; 1: something is lost."
    )
    parser.add_argument(
        "--accept",
        action="store_true",
        help="acknowledge them: the service is ready again, and keeps those originals",
    )


def run(options: argparse.Namespace) -> int:
    """List the losses, or accept them; returns the exit code."""
    accept: bool = options.accept
    return command.run_on_data(lambda settings: _run(settings, accept=accept))


def _run(settings: Settings, *, accept: bool) -> int:
    command.claim_data(settings)
    try:
        losses_file = losses.read(settings.data_dir)
        has_unaccepted = any(loss.accepted_at is None for loss in losses_file.losses)
        accepted = losses.is_accepted(settings.data_dir)
        if accept and has_unaccepted:
            losses.accept(settings.data_dir)
            accepted = True
    except OSError as error:
        printing.print_error(error)
        return ExitCode.SOME_FAILED
    printing.write_stdout(
        "".join(f"{line}\n" for line in format_lines(losses_file, accepted=accepted))
    )
    return ExitCode.SOME_FAILED if has_unaccepted and not accepted else ExitCode.OK


def format_lines(losses_file: LossesFile, *, accepted: bool) -> Iterator[str]:
    """Yield the lines of the list."""
    if not losses_file.losses:
        yield "The log has lost nothing that was noticed."
        return
    for loss in losses_file.losses:
        yield f"{_when(loss, accepted=accepted)}  the log of {loss.created}: {describe(loss)}"
        for key in loss.originals or ():
            yield f"    original without a document: {key}"
    for name in losses_file.waiting:
        yield f"    waits for an event that is gone: {name}"
    if accepted:
        yield "Accepted: the service takes notice within seconds, or when it starts."


def _when(loss: Loss, *, accepted: bool) -> str:
    stands = "accepted" if loss.accepted_at or accepted else "STANDS"
    return f"{loss.found_at:%Y-%m-%d %H:%M:%S}Z  {stands:<8}"
