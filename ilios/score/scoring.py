"""The score of each document of a run: conversion, comparison, expectations."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from ilios.runtime.child_signals import send_signal
from ilios.score.conservation import PageConservation, conservation
from ilios.score.conversions import Converter, joined
from ilios.score.documents import ScoredDocument
from ilios.score.expectations import Outcome
from ilios.score.reference import compare

LAYER_SECONDS = 60.0  # seconds for the text layer or the pictures of one document
CHUNK = 1024 * 1024
READER = ("-m", "ilios.score.page_layers")


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
    pdfs = [document.path for document in documents if document.path.suffix.lower() == ".pdf"]
    layers = await read_layers(pdfs)

    async def score_one(document: ScoredDocument) -> DocumentScore:
        async with slots:
            progress(document.name)
            return await _score(document, converter, layers.get(document.path, []))

    return await asyncio.gather(*map(score_one, documents))


async def _score(
    document: ScoredDocument, converter: Converter, layers: Sequence[str]
) -> DocumentScore:
    outcome, seconds = await converter.convert(document.path)
    scores: dict[str, float] = {}
    if document.reference is not None:
        markdown = joined(outcome.pages)
        scores = await asyncio.to_thread(compare, markdown, document.reference)
    held: list[str] = []
    broken: list[str] = []
    for expectation in document.expectations:
        (held if expectation.holds(outcome) else broken).append(str(expectation))
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


async def read_layers(paths: Sequence[Path]) -> dict[Path, list[str]]:
    """Return the text layer of each page of PDFs, without those that cannot be read."""
    found: dict[Path, list[str]] = {}
    rest = list(paths)
    while rest:
        lines = (await _run_reader("layers", *map(str, rest))).splitlines()
        for path, line in zip(rest, lines, strict=False):
            found[path] = [str(layer) for layer in json.loads(line)]
        # One that ended the reader is passed over.
        rest = rest[len(lines) + 1 :]
    return found


async def read_pictures(path: Path) -> list[bytes]:
    """Return a JPEG of each page of a PDF or frame of an image."""
    with TemporaryDirectory(prefix="ilios-score-") as folder:
        await _run_reader("pictures", str(path), folder)
        return await asyncio.to_thread(_read_numbered, Path(folder))


def _read_numbered(folder: Path) -> list[bytes]:
    files = sorted(folder.glob("*.jpg"), key=lambda file: int(file.stem))
    return [file.read_bytes() for file in files]


async def _run_reader(*arguments: str) -> bytes:
    """Return the complete lines that the reader prints before it ends or its time does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *READER,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    output = bytearray()
    try:
        while True:
            async with asyncio.timeout(LAYER_SECONDS):
                chunk = await process.stdout.read(CHUNK)
            if not chunk:
                break
            output += chunk
    except TimeoutError:
        send_signal(process, signal.SIGKILL)
    await process.wait()
    return bytes(output[: output.rfind(b"\n") + 1])
