"""``ilios score``: measures what the local engine makes of a directory of documents."""

import argparse
import asyncio
import sys
from pathlib import Path

from ilios import logs
from ilios.cli import ExitCode, command, printing
from ilios.score import gallery, report, stored
from ilios.score.conversions import StoredMarkdown, local_converter
from ilios.score.documents import (
    NoDocuments,
    ScoredDocument,
    find_documents,
    read_corpus,
)
from ilios.score.expectations import BadExpectation
from ilios.score.scoring import DocumentScore, score_all
from ilios.settings.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios score``."""
    parser.description = (
        "Convert the documents of directories and compare the results with the words of their "
        "pages, and with what files beside them expect: NAME.expect, NAME.expected.md or NAME.md. "
        "Exit code 0: measured; 1: something is worse than the stored run, or with --strict not "
        "as expected; 2: wrong usage."
    )
    parser.add_argument("directories", nargs="+", metavar="DIR", type=Path)
    parser.add_argument(
        "--corpus", action="store_true", help="the documents and references are in manifest.json"
    )
    parser.add_argument(
        "--only", metavar="TEXT", default="", help="only documents whose kind or name contains it"
    )
    parser.add_argument(
        "--markdown",
        metavar="DIR",
        type=Path,
        help="score NAME.md of this directory instead of converting",
    )
    parser.add_argument(
        "--conservation", action="store_true", help="list pages that lose words, and nothing else"
    )
    parser.add_argument("--each", action="store_true", help="print a line for each document, too")
    parser.add_argument(
        "--strict", action="store_true", help="exit code 1 if anything is not as expected"
    )
    parser.add_argument("--store", metavar="FILE", type=Path, help="store the scores of this run")
    parser.add_argument(
        "--against", metavar="FILE", type=Path, help="list what is worse than in a stored run"
    )
    parser.add_argument(
        "--gallery", metavar="DIR", type=Path, help="write pages and results side by side as HTML"
    )


def run(options: argparse.Namespace) -> int:
    """Score ``options.directories`` and print tables."""
    settings = command.read_settings()
    try:
        documents = _documents(options)
        before = stored.read(options.against) if options.against else None
    except (NoDocuments, BadExpectation, stored.CannotRead) as error:
        printing.print_error(error)
        return ExitCode.USAGE
    except OSError as error:
        printing.write_stderr(f"ilios: cannot read {error.filename}: {error.strerror}")
        return ExitCode.USAGE
    with logs.only_errors():
        scores = asyncio.run(_score(documents, options.markdown, settings))
    after = stored.as_stored(scores)
    worse = list(stored.regressions(before, after)) if before else []
    failed = _print(scores, options)
    if before:
        better = stored.improvements(before, after)
        lines = [
            "",
            *worse,
            f"against the stored run: {len(worse)} worse, {better} as expected now",
        ]
        printing.write_stdout("".join(f"{line}\n" for line in lines))
    try:
        if options.store:
            stored.write(options.store, after)
        if options.gallery:
            asyncio.run(gallery.write(options.gallery, documents, scores))
    except OSError as error:
        printing.write_stderr(f"ilios: cannot write {error.filename}: {error.strerror}")
        return ExitCode.SOME_FAILED
    return ExitCode.SOME_FAILED if worse or (options.strict and failed) else ExitCode.OK


def _documents(options: argparse.Namespace) -> list[ScoredDocument]:
    find = read_corpus if options.corpus else find_documents
    found = [document for directory in options.directories for document in find(directory)]
    chosen = [document for document in found if options.only in f"{document.kind} {document.name}"]
    if not chosen:
        raise NoDocuments(f"no document has {options.only!r} in its kind or name")
    return chosen


async def _score(
    documents: list[ScoredDocument], markdown: Path | None, settings: Settings
) -> list[DocumentScore]:
    if markdown is not None:
        return await score_all(documents, StoredMarkdown(markdown), 2, _progress)
    async with local_converter(settings.engine_limits) as converter:
        scores = await score_all(documents, converter, settings.engine_processes, _progress)
    _progress("")
    return scores


def _progress(name: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{name[:70]}")
        sys.stderr.flush()


def _print(scores: list[DocumentScore], options: argparse.Namespace) -> bool:
    """Print the tables; return whether anything is not as expected."""
    lost = list(report.losses(scores))
    if options.conservation:
        lines = [*lost, report.loss_summary(scores)]
        failed = bool(lost)
    else:
        broken = list(report.failures(scores))
        lines = [*report.each(scores), ""] if options.each else []
        lines += report.table(scores)
        lines += ["", *broken, *lost, report.loss_summary(scores), *report.warning_summary(scores)]
        failed = bool(broken or lost)
    printing.write_stdout("".join(f"{line}\n" for line in lines))
    return failed
