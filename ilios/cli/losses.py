"""``ilios losses``: what the log has lost, as the service has found it, and its acceptance."""

import argparse
import os
from collections.abc import Iterator

from ilios import log_losses, logs
from ilios import settings as table
from ilios.cli import check, exit_codes, printing
from ilios.data_directory import CannotBecome, NoData, act_as_owner, refuse_other
from ilios.log_losses import Book, Loss, describe


def run(options: argparse.Namespace) -> int:
    """List the losses, or accept them; returns the exit code."""
    try:
        settings = table.from_environ(os.environ)
    except table.BadSettings as error:
        check.print_problems(error)
        return exit_codes.USAGE
    logs.set_up("error", settings.log_format)
    try:
        refuse_other(settings)
        printing.remark(act_as_owner(settings.data_dir))
        book = log_losses.read(settings.data_dir)
        standing = any(loss.accepted_at is None for loss in book.losses)
        accepted = log_losses.is_accepted(settings.data_dir)
        if options.accept and standing:
            log_losses.accept(settings.data_dir)
            accepted = True
        printing.say("".join(f"{line}\n" for line in lines(book, accepted=accepted)))
    except (CannotBecome, NoData) as error:
        printing.complain(error)
        return exit_codes.CANNOT_START
    except (OSError, printing.CannotPrint) as error:
        printing.complain(error)
        return exit_codes.SOME_FAILED
    return exit_codes.SOME_FAILED if standing and not accepted else exit_codes.OK


def lines(book: Book, *, accepted: bool) -> Iterator[str]:
    """Return what is remembered, for people."""
    if not book.losses:
        yield "The log has lost nothing that was noticed."
        return
    for loss in book.losses:
        yield f"{_when(loss, accepted=accepted)}  the log of {loss.created}: {describe(loss)}"
        for key in loss.originals or ():
            yield f"    original without a document: {key}"
    for name in book.waiting:
        yield f"    waits for an event that is gone: {name}"
    if accepted:
        yield "Accepted: the service takes notice within seconds, or when it starts."


def _when(loss: Loss, *, accepted: bool) -> str:
    stands = "accepted" if loss.accepted_at or accepted else "STANDS"
    return f"{loss.found_at:%Y-%m-%d %H:%M:%S}Z  {stands:<8}"
