"""``ilios submit``: submits documents to a running service."""

import argparse
import re
from pathlib import Path

import msgspec

from ilios.cli import ExitCode, fields, on_service, printing
from ilios.client import AsyncClient, ClientError, in_parallel
from ilios.client.asynchronous import DEFAULT_CONCURRENCY
from ilios.settings.bad_settings import BadSettings
from ilios.visible import visible
from schemas.replies import DocumentStatus, Submitted
from schemas.requests import SubmitByUrl, SubmitFields

_ADDRESS = re.compile(r"https?://", re.IGNORECASE)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios submit``."""
    parser.description = (
        "Submit documents and print their ids, in the order of acceptance. Exit code 0: all "
        "accepted (with --wait: converted); 1: some not; 2: wrong usage; 4: no service."
    )
    parser.add_argument("documents", nargs="+", metavar="FILE", help="a file, or an http address")
    parser.add_argument("--wait", action="store_true", help="wait until they are converted")
    parser.add_argument(
        "--idempotency-key", metavar="KEY", help="of one document: repeated, it is the same one"
    )
    fields.add_arguments(parser)
    on_service.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Submit ``options.documents``."""
    wanted = fields.read(options)
    if options.idempotency_key and len(options.documents) > 1:
        raise BadSettings(["--idempotency-key is for one document"])
    return on_service.run(options, lambda client: _submit(client, options, wanted))


async def _submit(client: AsyncClient, options: argparse.Namespace, wanted: SubmitFields) -> int:
    async def work(document: str) -> Submitted | DocumentStatus:
        accepted = await _submit_one(client, document, wanted, options.idempotency_key)
        return await client.wait(accepted.id) if options.wait else accepted

    code = ExitCode.OK
    async for outcome in in_parallel(options.documents, work, DEFAULT_CONCURRENCY):
        match outcome.result:
            case DocumentStatus() as status:
                on_service.print_status(status, as_json=options.json)
                code = code if status.status == "completed" else ExitCode.SOME_FAILED
            case Submitted() as accepted if options.json:
                on_service.print_json(accepted)
            case Submitted() as accepted:
                printing.write_stdout(f"{accepted.id}  {visible(accepted.file_name)}\n")
        if outcome.error is not None:
            if not isinstance(outcome.error, ClientError | OSError | BadSettings):
                raise outcome.error
            printing.write_stderr(f"ilios: {visible(outcome.item)}: {visible(str(outcome.error))}")
            code = max(code, on_service.exit_code(outcome.error))
    return code


async def _submit_one(
    client: AsyncClient, document: str, wanted: SubmitFields, key: str | None
) -> Submitted:
    if not _ADDRESS.match(document):
        return await client.submit(Path(document), wanted, idempotency_key=key)
    try:
        by_url = msgspec.convert(msgspec.to_builtins(wanted) | {"url": document}, SubmitByUrl)
    except msgspec.ValidationError as error:
        raise BadSettings([f"{document} is no address of a document: {error}"]) from error
    return await client.submit_url(by_url, idempotency_key=key)
