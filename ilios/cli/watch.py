"""``ilios watch``: events of a running service as they happen."""

import argparse

import msgspec

from ilios.cli import ExitCode, on_service, printing
from ilios.client import AsyncClient, ServerEvent
from ilios.visible import visible
from schemas.event_replies import BatchEventData, DocumentEventData
from schemas.states import READABLE_STATES


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios watch``."""
    parser.description = (
        "Print the events of a document until it has ended, or those of all documents. "
        "Exit code 0: it is converted; 1: it is not; 4: no service."
    )
    parser.add_argument("document", nargs="?", metavar="ID", help="a document; all without it")
    parser.add_argument(
        "--last-event-id", metavar="ID", help="go on after this event; --json shows the ids"
    )
    on_service.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Print the events of ``options.document``."""
    return on_service.run(options, lambda client: _watch(client, options))


async def _watch(client: AsyncClient, options: argparse.Namespace) -> int:
    async for event in client.events(options.document, last_event_id=options.last_event_id):
        if options.json:
            on_service.print_json(
                {"id": event.id, "event": event.name, "data": msgspec.to_builtins(event.data)}
            )
        else:
            printing.write_stdout(_line(event) + "\n")
    if options.document is None:
        return ExitCode.OK
    status = await client.show(options.document)
    return ExitCode.OK if status.status in READABLE_STATES else ExitCode.SOME_FAILED


def _line(event: ServerEvent) -> str:
    match event.data:
        case DocumentEventData() as data:
            parts = [data.at, data.id, event.name, visible(data.file_name or "")]
            if data.pages is not None:
                parts.append(f"{data.pages} pages")
            if data.error:
                parts.append(f"{data.code}: {visible(data.error)}")
        case BatchEventData() as data:
            done = (data.completed or 0) + (data.failed or 0)
            parts = [data.at, data.batch_id, event.name, f"{done} of {data.total}"]
        case data:
            parts = [f"events may be missing here ({data.reason})"]
    return "  ".join(part for part in parts if part)
