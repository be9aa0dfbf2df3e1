"""``ilios show``: the state of documents of a running service."""

import argparse

from ilios.cli import ExitCode, on_service
from ilios.client import AsyncClient


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios show``."""
    parser.description = (
        "Show the state of documents. Exit code 0: shown; 1: one does not exist; 4: no service."
    )
    parser.add_argument("documents", nargs="+", metavar="ID", help="the id of a document")
    on_service.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Show ``options.documents``."""
    return on_service.run(options, lambda client: _show(client, options))


async def _show(client: AsyncClient, options: argparse.Namespace) -> int:
    for document_id in options.documents:
        on_service.print_status(await client.show(document_id), as_json=options.json)
    return ExitCode.OK
