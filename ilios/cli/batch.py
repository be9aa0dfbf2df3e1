"""``ilios batch``: converts a directory by a running service."""

import argparse
import asyncio
import os
import sys
from contextlib import aclosing
from pathlib import Path

import msgspec
from msgspec.structs import replace

from ilios.cli import ExitCode, fields, on_service, printing
from ilios.cli.batch_files import SourceFile, content_digest, find_files
from ilios.cli.batch_journal import Entry, Journal, open_journal
from ilios.cli.progress import Progress
from ilios.client import AsyncClient, ServiceProblem, Upload, in_parallel
from ilios.client.asynchronous import DEFAULT_CONCURRENCY, OnProgress
from ilios.formats import DEFAULT_FORMAT, FORMATS
from ilios.settings.bad_settings import BadSettings
from ilios.visible import visible
from schemas.replies import DocumentStatus
from schemas.requests import SubmitFields

MAX_CONCURRENCY = 64
COMPLETED = "completed"
UNREADABLE = "unreadable"
"""The code of a file that cannot be read here."""
OF_ALL = frozenset({401, 403, 404, 405, 408, 421, 426, 429, 500, 502, 503, 504, 507})
"""Statuses of a submission that are about the service, and not about the document."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios batch``."""
    parser.description = (
        "Convert all files of a directory and those below it by a running service, and write the "
        "results. The same command goes on after an interruption: each file is submitted and "
        "billed once. Exit code 0: all converted; 1: some failed; 2: wrong usage; 4: no service."
    )
    parser.add_argument("directory", metavar="DIR", help="the documents")
    parser.add_argument(
        "-o", "--output", metavar="PATH", help="the directory of the results; DIR-converted without"
    )
    parser.add_argument(
        "--concurrency",
        type=int,
        default=DEFAULT_CONCURRENCY,
        metavar="N",
        help=f"documents in work at a time, 1 to {MAX_CONCURRENCY}; {DEFAULT_CONCURRENCY} without",
    )
    parser.add_argument(
        "--format", choices=tuple(FORMATS), default=DEFAULT_FORMAT, help="markdown by default"
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="submit those again that have failed before"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    fields.add_arguments(parser)
    on_service.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Convert the files of ``options.directory``."""
    wanted = fields.read(options)
    if not 1 <= options.concurrency <= MAX_CONCURRENCY:
        raise BadSettings([f"--concurrency must be 1 to {MAX_CONCURRENCY}"])
    directory = Path(os.path.abspath(options.directory))
    output = Path(options.output or f"{directory}-converted")
    if not directory.is_dir():
        raise BadSettings([f"{visible(options.directory)} is not a directory"])
    if output.exists() and output.samefile(directory):
        raise BadSettings(["the results need a directory of their own: name another with -o"])
    return on_service.run(
        options, lambda client: _batch(client, options, directory, output, wanted)
    )


async def _batch(
    client: AsyncClient,
    options: argparse.Namespace,
    directory: Path,
    output: Path,
    wanted: SubmitFields,
) -> int:
    with open_journal(output, client.server) as journal:
        files = find_files(directory, output, FORMATS[options.format].suffix)
        progress = Progress(len(files), quiet=options.quiet or options.json)
        batch = _Batch(client, journal, wanted, progress, options)
        code, counts = ExitCode.OK, {"completed": 0, "failed": 0}
        # One of the service ends the batch: the other files would meet the same.
        converting = in_parallel(files, batch.convert, options.concurrency)
        async with aclosing(converting) as outcomes:
            async for outcome in outcomes:
                if outcome.error is not None:
                    raise outcome.error
                assert outcome.result is not None
                progress.end(outcome.item.relative)
                progress.clear()
                _print(outcome.item, outcome.result, as_json=options.json)
                if outcome.result.status == COMPLETED:
                    counts["completed"] += 1
                else:
                    counts["failed"] += 1
                    code = ExitCode.SOME_FAILED
        if options.json:
            on_service.print_json({"total": len(files), **counts})
        else:
            printing.print_note(
                f"{counts['completed']} of {len(files)} files converted, {counts['failed']} failed"
            )
        return code


class _Batch:
    """One run of the command."""

    def __init__(
        self,
        client: AsyncClient,
        journal: Journal,
        wanted: SubmitFields,
        progress: Progress,
        options: argparse.Namespace,
    ) -> None:
        self._client = client
        self._journal = journal
        self._wanted = wanted
        self._progress = progress
        self._format: str = options.format
        self._retry_failed: bool = options.retry_failed
        quiet = options.quiet or options.json
        self._shows_pages = not quiet and sys.stderr is not None and sys.stderr.isatty()

    async def convert(self, file: SourceFile) -> Entry:
        """Bring a file to its end, from wherever it is; errors are those of the service."""
        try:
            content = await asyncio.to_thread(content_digest, file, self._wanted)
        except OSError as error:
            return _unreadable(file, error)
        last = self._journal.last(content)
        attempt = 1
        if last is not None:
            retried = last.status != COMPLETED and self._retry_failed
            if not retried and (last.status != COMPLETED or file.target.exists()):
                return last
            attempt = last.attempt + retried
        entry = await self._convert(file, content, attempt)
        if entry.code != UNREADABLE:  # it may be readable the next time
            self._journal.add(entry)
        return entry

    async def _convert(self, file: SourceFile, content: str, attempt: int) -> Entry:
        failed = Entry(content=content, path=_shown(file), attempt=attempt, status="failed")
        key = self._journal.key(content, attempt)
        try:
            accepted = await self._client.submit(
                Upload(content=file.path), self._wanted, idempotency_key=key
            )
        except OSError as error:
            return _unreadable(file, error)
        except ServiceProblem as error:
            if error.status in OF_ALL:
                raise
            return _with_problem(failed, error)
        status = await self._client.wait(accepted.id, on_progress=self._shows(file))
        failed = replace(failed, id=accepted.id, status=status.status)
        if status.status not in (COMPLETED, "archived"):
            return replace(failed, code=status.code or status.status, error=status.error)
        try:
            file.target.parent.mkdir(parents=True, exist_ok=True)
            await self._client.download(accepted.id, file.target, output_format=self._format)
        except ServiceProblem as error:
            if error.status in OF_ALL:
                raise
            return _with_problem(failed, error)
        codes = tuple(sorted({one.code for one in status.warnings}))
        return replace(failed, status=COMPLETED, warnings=codes)

    def _shows(self, file: SourceFile) -> OnProgress | None:
        """Return what shows the pages of a file; asking for them costs requests."""
        if not self._shows_pages:
            return None

        def show(status: DocumentStatus) -> None:
            if status.progress is not None:
                self._progress.page(file.relative, status.progress.pages, status.progress.of)

        return show


def _unreadable(file: SourceFile, error: OSError) -> Entry:
    return Entry(
        content="",
        path=_shown(file),
        attempt=0,
        status="failed",
        code=UNREADABLE,
        error=f"it cannot be read: {error.strerror}",
    )


def _with_problem(entry: Entry, error: ServiceProblem) -> Entry:
    problem = error.problem
    return replace(
        entry, code=problem.cause or problem.code, error=problem.reason or problem.detail
    )


def _shown(file: SourceFile) -> str:
    """Return the path for people and JSON, which have no bytes that are not UTF-8."""
    return file.relative.encode("utf-8", "backslashreplace").decode()


def _print(file: SourceFile, entry: Entry, *, as_json: bool) -> None:
    if as_json:
        members = msgspec.to_builtins(entry)
        del members["content"], members["attempt"]
        if entry.status == COMPLETED:
            members["output"] = str(file.target).encode("utf-8", "backslashreplace").decode()
        on_service.print_json(members)
    elif entry.status == COMPLETED:
        warnings = f"  warnings: {', '.join(entry.warnings)}" if entry.warnings else ""
        printing.write_stdout(f"{entry.id}  {visible(entry.path)}{warnings}\n")
    else:
        printing.write_stderr(
            f"ilios: {visible(entry.path)}: {visible(entry.error or entry.status)} ({entry.code})"
        )
