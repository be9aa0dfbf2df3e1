"""The score of each document of a run: conversion, comparison, expectations."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from ilios.score.conservation import PageConservation, conservation
from ilios.score.conversions import Converter, joined
from ilios.score.documents import ScoredDocument
from ilios.score.expectations import Outcome
from ilios.score.reference import compare

LAYER_SECONDS = 120.0  # seconds for the text layer or the pictures of one document


class DocumentScore(Struct, frozen=True, kw_only=True):
    """Everything measured on one document. ``held`` and ``broken`` are expectations."""

    name: str
    kind: str
    outcome: Outcome
    seconds: float
    scores: dict[str, float]
    held: tuple[str, ...]
    broken: tuple[str, ...]
    conservation: tuple[PageConservation, ...]

    @property
    def is_failure(self) -> bool:
        """Whether the document was refused, which nothing expects."""
        expected = any(line.startswith("refused") for line in (*self.held, *self.broken))
        return bool(self.outcome.refusal) and not expected


async def score_all(
    documents: Sequence[ScoredDocument],
    converter: Converter,
    at_once: int,
    progress: Callable[[str], None],
) -> list[DocumentScore]:
    """Score all documents, so many at once, in their order."""
    slots = asyncio.Semaphore(at_once)

    async def score_one(document: ScoredDocument) -> DocumentScore:
        async with slots:
            progress(document.name)
            return await _score(document, converter)

    return await asyncio.gather(*map(score_one, documents))


async def _score(document: ScoredDocument, converter: Converter) -> DocumentScore:
    outcome, seconds = await converter.convert(document.path)
    scores: dict[str, float] = {}
    if document.reference is not None:
        markdown = joined(outcome.pages)
        scores = await asyncio.to_thread(compare, markdown, document.reference)
    held: list[str] = []
    broken: list[str] = []
    for expectation in document.expectations:
        (held if expectation.holds(outcome) else broken).append(str(expectation))
    pages: tuple[PageConservation, ...] = ()
    if document.path.suffix.lower() == ".pdf" and outcome.pages:
        layers = await read_layers(document.path)
        pages = tuple(
            conservation(page.index, layers[page.index], page.whole, page.warnings)
            for page in outcome.pages
            if page.index < len(layers)
        )
    return DocumentScore(
        name=document.name,
        kind=document.kind,
        outcome=outcome,
        seconds=seconds,
        scores=scores,
        held=tuple(held),
        broken=tuple(broken),
        conservation=pages,
    )


async def read_layers(path: Path) -> list[str]:
    """Return the text layer of each page of a PDF; none if it cannot be read."""
    found = await _run_reader("layers", str(path))
    return [str(layer) for layer in json.loads(found)] if found else []


async def read_pictures(path: Path) -> list[bytes]:
    """Return a JPEG of each page of a PDF or frame of an image."""
    with TemporaryDirectory(prefix="ilios-score-") as folder:
        await _run_reader("pictures", str(path), folder)
        return await asyncio.to_thread(_read_numbered, Path(folder))


def _read_numbered(folder: Path) -> list[bytes]:
    files = sorted(folder.glob("*.jpg"), key=lambda file: int(file.stem))
    return [file.read_bytes() for file in files]


async def _run_reader(*arguments: str) -> bytes | None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ilios.score.page_layers",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        async with asyncio.timeout(LAYER_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    return output if process.returncode == 0 else None
