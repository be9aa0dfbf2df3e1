"""``ilios cancel``: cancels or deletes documents of a running service."""

import argparse

from ilios.cli import ExitCode, on_service, printing
from ilios.client import AsyncClient, ServiceProblem
from ilios.visible import visible


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios cancel``."""
    parser.description = (
        "Cancel the conversion of documents, and delete those that have ended if --delete is "
        "given. Exit code 0: done; 1: some not; 4: no service."
    )
    parser.add_argument("documents", nargs="+", metavar="ID", help="the id of a document")
    parser.add_argument("--delete", action="store_true", help="also what has ended, with its text")
    on_service.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Cancel ``options.documents``."""
    return on_service.run(options, lambda client: _cancel(client, options))


async def _cancel(client: AsyncClient, options: argparse.Namespace) -> int:
    code = ExitCode.OK
    for document_id in options.documents:
        try:
            status = await client.show(document_id)
            # One that ends in this moment is deleted: the service has one operation for both.
            if status.status not in ("pending", "processing") and not options.delete:
                printing.write_stderr(
                    f"ilios: {visible(document_id)} is {status.status}; --delete deletes it"
                )
                code = ExitCode.SOME_FAILED
                continue
            receipt = await client.cancel(document_id)
        except ServiceProblem as error:
            if on_service.exit_code(error) != ExitCode.SOME_FAILED:
                raise
            printing.write_stderr(f"ilios: {visible(document_id)}: {visible(str(error))}")
            code = ExitCode.SOME_FAILED
            continue
        if options.json:
            on_service.print_json(receipt)
        else:
            printing.write_stdout(f"{receipt.id}  {receipt.status}  {visible(receipt.file_name)}\n")
    return code
