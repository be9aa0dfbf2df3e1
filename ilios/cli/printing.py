"""Results on stdout, which may be full, closed, or a pipe that nobody reads any more."""

import os
import sys

from ilios.visible import visible


class CannotPrint(Exception):
    """Stdout takes nothing more. The message says why; it is empty when the reader has left."""


def write_stdout(text: str) -> None:
    """Write ``text`` to stdout, now and in UTF-8; a terminal gets nothing it would obey.

    :raises CannotPrint: it cannot be written.
    """
    if sys.stdout is None:
        raise CannotPrint("stdout is closed")
    try:
        if sys.stdout.isatty():
            text = visible(text, lines=True)
        # Names of files may be no UTF-8; they leave as they came.
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()
    except OSError as error:
        _redirect_stdout_to_null()
        message = f"stdout cannot be written: {error.strerror}"
        raise CannotPrint("" if isinstance(error, BrokenPipeError) else message) from error


def print_error(error: Exception) -> None:
    """Say on stderr what is wrong, if there is anything to say."""
    if str(error):
        write_stderr(f"ilios: {error}")


def write_stderr(text: str) -> None:
    """Write a line, or several, to stderr; some of it may come from outside."""
    print(visible(text, lines=True), file=sys.stderr, flush=True)


def print_note(sentence: str | None) -> None:
    """Print on stderr what somebody may want to know, if there is anything."""
    if sentence:
        print(f"ilios: {sentence}", file=sys.stderr)


def _redirect_stdout_to_null() -> None:
    # Python flushes stdout once more when it ends, and would complain a second time.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
