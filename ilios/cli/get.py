"""``ilios get``: what was made of a document of a running service."""

import argparse
import codecs
import sys
from pathlib import Path

from ilios.cli import ExitCode, on_service, printing
from ilios.client import AsyncClient
from ilios.formats import DEFAULT_FORMAT, FORMATS


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios get``."""
    parser.description = (
        "Print the Markdown of a document, or write it to a file. Exit code 0: done; 1: there is "
        "none, or not yet; 2: wrong usage; 4: no service."
    )
    parser.add_argument("document", metavar="ID", help="the id of a document")
    parser.add_argument("-o", "--output", metavar="FILE", help="write here, whole or not at all")
    parser.add_argument(
        "--format", choices=tuple(FORMATS), default=DEFAULT_FORMAT, help="markdown by default"
    )
    parser.add_argument("--chunk-size", type=int, metavar="N", help="for --format chunks")
    parser.add_argument(
        "--original", action="store_true", help="the document as it was submitted, with -o only"
    )
    parser.add_argument("--wait", action="store_true", help="wait until the document has ended")
    on_service.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Print or write the content of ``options.document``."""
    if options.original and options.output is None and sys.stdout and sys.stdout.isatty():
        printing.write_stderr("ilios: --original prints bytes, not for a terminal: add -o FILE")
        return ExitCode.USAGE
    return on_service.run(options, lambda client: _get(client, options))


async def _get(client: AsyncClient, options: argparse.Namespace) -> int:
    if options.wait:
        await client.wait(options.document)
    if options.output is not None:
        await client.download(
            options.document,
            Path(options.output),
            output_format=options.format,
            chunk_size=options.chunk_size,
            original=options.original,
        )
        return ExitCode.OK
    opened = (
        client.original(options.document)
        if options.original
        else client.content(
            options.document, output_format=options.format, chunk_size=options.chunk_size
        )
    )
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    async with opened as pieces:
        async for piece in pieces:
            if sys.stdout is not None and sys.stdout.isatty():
                printing.write_stdout(decode(piece))
            else:
                printing.write_bytes(piece)
    return ExitCode.OK
