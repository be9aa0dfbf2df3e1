"""Output of commands: results on stdout, which may be full or closed, the rest on stderr."""

import os
import sys

from ilios.visible import visible


class CannotPrint(Exception):
    """Stdout cannot be written. The message is empty when its reader has gone."""


def write_stdout(text: str) -> None:
    """Write ``text`` to stdout in UTF-8 and flush it; a terminal gets no control characters.

    :raises CannotPrint: it cannot be written.
    """
    if sys.stdout is not None and sys.stdout.isatty():
        text = visible(text, lines=True)
    # File names may be no UTF-8; their bytes are written unchanged.
    write_bytes(text.encode("utf-8", "surrogateescape"))


def write_bytes(data: bytes) -> None:
    """Write bytes to stdout as they are, and flush it.

    :raises CannotPrint: it cannot be written.
    """
    if sys.stdout is None:
        raise CannotPrint("stdout is closed")
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        _redirect_stdout_to_null()
        message = f"stdout cannot be written: {error.strerror}"
        raise CannotPrint("" if isinstance(error, BrokenPipeError) else message) from error


def print_error(error: Exception) -> None:
    """Write the message of an error to stderr, if it has one."""
    if str(error):
        write_stderr(f"ilios: {error}")


def print_problems(problems: list[str]) -> None:
    """Write each problem to stderr, on a line of its own."""
    for sentence in problems:
        write_stderr(f"ilios: {sentence}")


def write_stderr(text: str) -> None:
    """Write lines to stderr, without control characters."""
    print(visible(text, lines=True), file=sys.stderr, flush=True)


def print_note(sentence: str | None) -> None:
    """Write a sentence to stderr, if there is one."""
    if sentence:
        print(f"ilios: {sentence}", file=sys.stderr)


def _redirect_stdout_to_null() -> None:
    # Python flushes stdout once more when it ends, and would complain a second time.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
