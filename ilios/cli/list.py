"""``ilios list``: documents of a running service."""

import argparse
from typing import get_args

from ilios.cli import ExitCode, on_service
from ilios.client import AsyncClient, DocumentFilter
from ilios.settings.bad_settings import BadSettings
from schemas.lists import Order
from schemas.states import DocumentState

DEFAULT_LIMIT = 50


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios list``."""
    parser.description = (
        "List documents, the newest first. Exit code 0: listed; 1: refused; 2: wrong usage; "
        "4: no service."
    )
    parser.add_argument(
        "--state",
        action="append",
        choices=get_args(DocumentState),
        default=[],
        help="in this state, or given several times in one of these",
    )
    parser.add_argument("--since", metavar="TIME", help="submitted then or later; a date will do")
    parser.add_argument("--until", metavar="TIME", help="submitted then or earlier")
    parser.add_argument("--reference", metavar="TEXT", help="with exactly this reference")
    parser.add_argument("--name", metavar="PART", help="with this in their name")
    parser.add_argument("--batch", metavar="ID", help="of this batch")
    parser.add_argument("--order", choices=get_args(Order), default="desc", help="by time")
    parser.add_argument(
        "--limit",
        type=int,
        default=DEFAULT_LIMIT,
        metavar="N",
        help=f"so many at most, {DEFAULT_LIMIT} by default; 0 for all",
    )
    on_service.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """List documents."""
    if options.limit < 0:
        raise BadSettings(["--limit must be 0 or more"])
    return on_service.run(options, lambda client: _list(client, options))


async def _list(client: AsyncClient, options: argparse.Namespace) -> int:
    wanted = DocumentFilter(
        states=tuple(options.state),
        since=options.since,
        until=options.until,
        reference=options.reference,
        name=options.name,
        batch=options.batch,
        order=options.order,
    )
    async for status in client.documents(wanted, limit=options.limit or None):
        on_service.print_status(status, as_json=options.json)
    return ExitCode.OK
