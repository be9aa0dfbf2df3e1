"""``ilios convert``: converts files with the local engine, without a service."""

import argparse
import asyncio
import itertools
import os
import stat
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from actors import content_types, sniffing
from actors.engines import (
    Conversion,
    Engine,
    EngineCrashed,
    Password,
    SourceFile,
    Unconvertible,
)
from actors.text_sniffing import Claim
from ilios import logs
from ilios.cli import ExitCode, command, printing
from ilios.cli.progress import Progress
from ilios.engines.local.engine import LocalEngine
from ilios.formats import DEFAULT_FORMAT, FORMATS
from ilios.formats.declaration import (
    DEFAULT_CHUNK_SIZE,
    MAX_CHUNK_SIZE,
    MIN_CHUNK_SIZE,
    FormatOptions,
    Output,
)
from ilios.settings.settings import MIB, Settings
from ilios.visible import visible
from schemas.options import ConversionOptions

STDIN = "-"
CHUNK = 1024 * 1024  # bytes read from stdin at once
MAX_PRINTED_PAGES = 20  # of one warning
MAX_PASSWORD_FILE = 4096  # bytes
PROTECTED_REASON = "The document is protected; --password-file names a file with a PDF's password."


class ConversionFailed(Exception):
    """A document was not converted or not written; the message has the reason."""


class CannotWrite(Exception):
    """The target of ``-o`` cannot be written; the message has the reason."""


class UsageError(Exception):
    """The arguments contradict one another or the existing files."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios convert``."""
    parser.description = (
        "Convert files and print the Markdown, or write it. "
        "Exit code 0: all converted; 1: some failed; 2: wrong usage."
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a document; - reads stdin")
    parser.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        help="write here: a directory (one FILE.md per document), or a file for one document",
    )
    parser.add_argument(
        "--format",
        choices=tuple(FORMATS),
        default=DEFAULT_FORMAT,
        help="markdown (default); json: an object a line with pages, headers and metadata; text; "
        "html; chunks: an object a line for each part, for retrieval",
    )
    parser.add_argument(
        "--chunk-size",
        type=int,
        metavar="N",
        help=f"estimated tokens of a chunk at most, {MIN_CHUNK_SIZE} to {MAX_CHUNK_SIZE}; "
        f"{DEFAULT_CHUNK_SIZE} by default",
    )
    parser.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="show no progress; without this a terminal shows it for work of more than a second",
    )
    parser.add_argument(
        "--pages",
        metavar="RANGES",
        help="convert these pages only, counted from 1, such as 1-3,7,10-",
    )
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        help="open protected PDFs with the password on the first line of this file",
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="print the pages that are done when the time budget of a document ends",
    )
    parser.add_argument(
        "--language",
        metavar="TAGS",
        help="the languages of images and scans, such as ru,en; otherwise they are found out",
    )
    parser.add_argument(
        "--recognition",
        choices=("auto", "force", "never"),
        default="auto",
        help="recognise text where there is none (auto), on all pages, or nowhere",
    )
    parser.add_argument(
        "--tracked-changes",
        choices=("final", "original", "all"),
        default="final",
        help="the text after tracked changes (final), before them, or with both marked",
    )
    parser.add_argument(
        "--comments", action="store_true", help="convert comments on Office documents as well"
    )
    parser.add_argument(
        "--merged-cells",
        choices=("auto", "once", "repeat"),
        default="auto",
        help="where the text of merged cells stands: once, in each cell, or by its length (auto)",
    )


def run(options: argparse.Namespace) -> int:
    """Convert ``options.files`` and deliver the results in their order."""
    files: list[str] = options.files
    try:
        conversion = ConversionOptions(
            pages=options.pages,
            language=options.language,
            recognition=options.recognition,
            tracked_changes=options.tracked_changes,
            comments=options.comments,
            merged_cells=options.merged_cells,
            partial=options.partial,
        )
    except ValueError as error:  # it begins with the name of the option
        printing.print_error(UsageError(f"--{error}"))
        return ExitCode.USAGE
    settings = command.read_settings()
    try:
        output = _output(options)
        password = _read_password(options.password_file)
        targets = None
        if options.output is not None:
            # As a string: a Path drops the final slash, which stands for a directory.
            targets = _targets(files, str(options.output), options.format)
        progress = Progress(len(files), quiet=options.quiet)
        with logs.only_errors():
            return asyncio.run(
                _convert_all(
                    files, targets, output, conversion, password, settings, progress=progress
                )
            )
    except UsageError as error:
        printing.print_error(error)
        return ExitCode.USAGE
    except CannotWrite as error:
        printing.print_error(error)
        return ExitCode.SOME_FAILED


def _output(options: argparse.Namespace) -> Output:
    """Return the format with its options."""
    output = FORMATS[options.format]
    if len(options.files) > 1 and options.output is None and output.heading is None:
        raise UsageError(f"several documents as {options.format} need a directory: add -o PATH")
    size: int | None = options.chunk_size
    if size is not None and not MIN_CHUNK_SIZE <= size <= MAX_CHUNK_SIZE:
        raise UsageError(f"--chunk-size must be {MIN_CHUNK_SIZE} to {MAX_CHUNK_SIZE}")
    format_options = FormatOptions(chunk_size=size)
    if format_options.not_of(output) is not None:
        raise UsageError("--chunk-size is for --format chunks only")
    return Output(output, format_options)


def _read_password(file: str | None) -> Password | None:
    """Return the first line of a file; a command line would show a password to others."""
    if file is None:
        return None
    try:
        with open(file, "rb") as opened:
            line = opened.readline(MAX_PASSWORD_FILE).removesuffix(b"\n").removesuffix(b"\r")
        text = line.decode()
    except OSError as error:
        raise UsageError(f"--password-file: cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UsageError(f"--password-file: {file} is not UTF-8") from None
    if not text or "\0" in text:
        raise UsageError(f"--password-file: the first line of {file} is not a password")
    return Password(text)


def _targets(files: list[str], given: str, output_format: str) -> list[Path]:
    """Return the file of each result, before any work is done; make their directory."""
    output = Path(given)
    suffix = FORMATS[output_format].suffix
    try:
        if len(files) > 1 or given.endswith("/") or output.is_dir():
            if output.exists() and not output.is_dir():
                if len(files) > 1:
                    raise UsageError(f"{output} is a file; several documents need a directory")
                raise CannotWrite(f"cannot write into {given}: it is a file")
            output.mkdir(parents=True, exist_ok=True)
            targets = [output / name for name in _output_names(files, suffix)]
        else:
            if not output.parent.is_dir():
                raise CannotWrite(f"cannot write {output}: no directory {output.parent}")
            targets = [output]
        for file in (Path(name) for name in files if name != STDIN):
            if any(
                target.exists() and file.exists() and target.samefile(file) for target in targets
            ):
                raise CannotWrite(f"cannot write {file}: it is one of the documents")
    except OSError as error:
        raise CannotWrite(f"cannot write {error.filename or given}: {error.strerror}") from error
    return targets


def _output_names(files: list[str], suffix: str) -> list[str]:
    """Return the names of the results; equal names from several directories get numbers."""
    names: list[str] = []
    for file in files:
        stem = "stdin" if file == STDIN else Path(file).name
        name = f"{stem}.{suffix}"
        for number in itertools.count(2):
            if name not in names:
                break
            name = f"{stem}-{number}.{suffix}"
        names.append(name)
    return names


async def _convert_all(
    files: list[str],
    targets: list[Path] | None,
    output: Output,
    options: ConversionOptions,
    password: Password | None,
    settings: Settings,
    *,
    progress: Progress,
) -> int:
    failed = False
    async with LocalEngine(settings.engine_limits) as engine:
        slots = asyncio.Semaphore(settings.engine_processes)

        async def convert(name: str) -> Conversion:
            async with slots:
                return await _convert_one(
                    engine, name, options, password, progress, settings.max_file_bytes
                )

        tasks = [asyncio.create_task(convert(name)) for name in files]
        try:
            for number, (name, task) in enumerate(zip(files, tasks, strict=True)):
                try:
                    conversion = await task
                    progress.clear()
                    _print_warnings(name, conversion)
                    text = await asyncio.to_thread(
                        output.format.print, name, conversion, output.options
                    )
                    progress.clear()
                    if conversion.partial:
                        message = conversion.warnings[-1].message
                        printing.write_stderr(f"ilios: {visible(name)}: {message}")
                    if targets:
                        _write(targets[number], text)
                    else:
                        printing.write_stdout(_heading(output, name, len(files)) + text)
                except ConversionFailed as error:
                    failed = True
                    progress.clear()
                    printing.write_stderr(f"ilios: {visible(name)}: {visible(str(error))}")
        finally:  # when results cannot be written, the rest need not be converted
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return ExitCode.SOME_FAILED if failed else ExitCode.OK


def _heading(output: Output, name: str, files: int) -> str:
    return output.format.heading(name) if output.format.heading and files > 1 else ""


def _print_warnings(name: str, conversion: Conversion) -> None:
    """Print the warnings of a conversion on stderr, one line each."""
    for warning in conversion.warnings:
        pages = ", ".join(map(str, warning.pages[:MAX_PRINTED_PAGES]))
        more = ", ..." if len(warning.pages) > MAX_PRINTED_PAGES else ""
        where = f"; pages {pages}{more}" if pages else ""
        line = f"{name}: warning: {warning.message} ({warning.code}{where})"
        printing.write_stderr(f"ilios: {visible(line)}")


async def _convert_one(
    engine: Engine,
    name: str,
    options: ConversionOptions,
    password: Password | None,
    progress: Progress,
    max_bytes: int,
) -> Conversion:
    started = time.monotonic()
    try:
        async with _open_source(name, max_bytes) as path:
            with path.open("rb") as file:
                head = file.read(sniffing.SNIFF_LENGTH)
                file.seek(max(0, path.stat().st_size - sniffing.SNIFF_LENGTH))
                tail = file.read(sniffing.SNIFF_LENGTH)
            content_type = sniffing.sniff(head, tail, Claim.of("" if name == STDIN else name))
            if content_type is None:
                what = sniffing.describe(head, tail)
                raise ConversionFailed(
                    f"This is {what}; what can be converted: {content_types.SUPPORTED_TYPES}."
                )
            conversion = await engine.convert(
                SourceFile(path, content_type, options=options, password=password),
                lambda done, total: progress.page(name, done, total),
            )
    except OSError as error:
        raise ConversionFailed(error.strerror or str(error)) from error
    except Unconvertible as error:
        reason = PROTECTED_REASON if error.code == "password_protected" else error.reason
        raise ConversionFailed(f"{reason} ({error.code})") from error
    except EngineCrashed as error:
        raise ConversionFailed("The converter crashed on this document. (crashed)") from error
    finally:
        progress.end(name)
    progress.show_done(name, len(conversion.pages), time.monotonic() - started)
    return conversion


@asynccontextmanager
async def _open_source(name: str, max_bytes: int) -> AsyncIterator[Path]:
    """Yield the path of a file; stdin is copied into a temporary file first."""
    if name != STDIN:
        mode = os.stat(name).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(
            mode
        ):  # opening a directory raises a clear error
            raise ConversionFailed("This is not a regular file; use - to read from a pipe.")
        yield Path(name)
        return
    if sys.stdin is None:
        raise ConversionFailed("Stdin is closed.")
    with tempfile.NamedTemporaryFile(prefix="ilios-") as copy:
        while chunk := await asyncio.to_thread(sys.stdin.buffer.read, CHUNK):
            if copy.tell() + len(chunk) > max_bytes:
                most = max_bytes // MIB
                raise ConversionFailed(
                    f"There is more on stdin than {most} MiB (ILIOS_MAX_FILE_MB)."
                )
            copy.write(chunk)
        copy.flush()
        yield Path(copy.name)


def _write(target: Path, text: str) -> None:
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConversionFailed(f"cannot write {target}: {error.strerror}") from error
