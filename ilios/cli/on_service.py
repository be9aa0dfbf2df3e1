"""Parts of the commands for a running service: the service, its errors, and what is printed."""

import argparse
import asyncio
import os
from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Struct

from ilios.cli import ExitCode, contexts, printing
from ilios.client import AsyncClient, ClientError, Patience, ServiceProblem
from ilios.settings.bad_settings import BadSettings
from ilios.visible import visible, visible_json
from schemas.replies import DocumentStatus

DEFAULT_PATIENCE = 120.0  # seconds
REFUSED_KEY = frozenset({401, 403})

Work = Callable[[AsyncClient], Awaitable[int]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that all commands for a running service have."""
    parser.add_argument(
        "--context",
        metavar="NAME",
        help="the service of this context (`ilios context`); without it that of ILIOS_SERVER and "
        "ILIOS_KEY, or of the current context, or the one on this machine",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=DEFAULT_PATIENCE,
        metavar="SECONDS",
        help="how long a request is repeated while the service cannot be reached; 120 by default",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, an object a line")


def run(options: argparse.Namespace, work: Work) -> int:
    """Run the work of a command with a client; returns the exit code.

    :raises BadSettings: no service can be derived from context and environment.
    """
    context = contexts.choose(options.context, os.environ)
    if not 0 <= options.patience < float("inf"):
        raise BadSettings(["--patience must be a number of seconds, 0 or more"])
    patience = Patience(seconds=options.patience)
    try:
        return asyncio.run(_run(context, patience, work))
    except (ClientError, OSError) as error:
        printing.print_error(error)
        return exit_code(error)


async def _run(context: contexts.Context, patience: Patience, work: Work) -> int:
    try:
        client = AsyncClient(context.server, context.key, patience=patience)
    except ValueError as error:
        raise BadSettings([str(error)]) from error
    async with client:
        return await work(client)


def exit_code(error: Exception) -> ExitCode:
    """Return the exit code of a command that ends with an error."""
    if isinstance(error, ServiceProblem):
        refused = error.status in REFUSED_KEY
        return ExitCode.UNAVAILABLE if refused else ExitCode.SOME_FAILED
    return ExitCode.UNAVAILABLE if isinstance(error, ClientError) else ExitCode.SOME_FAILED


def _pages(count: int) -> str:
    return "1 page" if count == 1 else f"{count} pages"


def print_json(value: Struct | dict[str, object]) -> None:
    """Print an object on one line."""
    printing.write_stdout(visible_json(msgspec.json.encode(value).decode()) + "\n")


def print_status(status: DocumentStatus, *, as_json: bool) -> None:
    """Print the state of a document on one line."""
    if as_json:
        print_json(status)
        return
    parts = [status.id, f"{status.status:<10}", status.created_at or "", visible(status.file_name)]
    if status.metadata is not None and status.metadata.pages is not None:
        parts.append(_pages(status.metadata.pages))
    if status.progress is not None:
        parts.append(f"page {status.progress.pages} of {status.progress.of}")
    if status.error:
        parts.append(f"{status.code}: {visible(status.error)}")
    if status.warnings:
        parts.append("warnings: " + ", ".join(sorted({one.code for one in status.warnings})))
    printing.write_stdout("  ".join(parts) + "\n")
