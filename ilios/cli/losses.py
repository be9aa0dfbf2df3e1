"""``ilios losses``: what the log has lost, as the service has found it, and its acceptance."""

import argparse
import os
from collections.abc import Iterator

from ilios import logs
from ilios.cli import check, exit_codes, printing
from ilios.data_directory import CannotSwitchUser, NoData, act_as_owner, ensure_service_data
from ilios.integrity import losses
from ilios.integrity.losses import Loss, LossesFile, describe
from ilios.settings import settings as table


def run(options: argparse.Namespace) -> int:
    """List the losses, or accept them; returns the exit code."""
    try:
        settings = table.from_environ(os.environ)
    except table.BadSettings as error:
        check.print_problems(error)
        return exit_codes.USAGE
    logs.set_up("error", settings.log_format)
    try:
        ensure_service_data(settings)
        printing.print_note(act_as_owner(settings.data_dir))
        losses_file = losses.read(settings.data_dir)
        has_unaccepted = any(loss.accepted_at is None for loss in losses_file.losses)
        accepted = losses.is_accepted(settings.data_dir)
        if options.accept and has_unaccepted:
            losses.accept(settings.data_dir)
            accepted = True
        printing.write_stdout(
            "".join(f"{line}\n" for line in format_lines(losses_file, accepted=accepted))
        )
    except (CannotSwitchUser, NoData) as error:
        printing.print_error(error)
        return exit_codes.CANNOT_START
    except (OSError, printing.CannotPrint) as error:
        printing.print_error(error)
        return exit_codes.SOME_FAILED
    return exit_codes.SOME_FAILED if has_unaccepted and not accepted else exit_codes.OK


def format_lines(losses_file: LossesFile, *, accepted: bool) -> Iterator[str]:
    """Return what is remembered, for people."""
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
