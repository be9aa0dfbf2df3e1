"""Stored runs, and what a later run does worse."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from ilios.score.scoring import DocumentScore

TOLERANCE = 0.005
"""A score that falls by less is not worse."""


class StoredDocument(Struct, frozen=True):
    """The scores of a document. ``kept`` is the share of words by page number."""

    scores: dict[str, float] = {}
    held: tuple[str, ...] = ()
    refusal: str = ""
    kept: dict[str, float] = {}
    warnings: int = 0


class StoredRun(Struct, frozen=True):
    """A run: the scores by document."""

    documents: dict[str, StoredDocument]


class CannotRead(Exception):
    """A stored run cannot be read; the message has the reason."""


def as_stored(scores: Sequence[DocumentScore]) -> StoredRun:
    """Return what is stored of a run."""
    return StoredRun({score.name: _stored(score) for score in scores})


def _stored(score: DocumentScore) -> StoredDocument:
    return StoredDocument(
        {name: round(value, 4) for name, value in score.scores.items()},
        score.held,
        score.outcome.refusal,
        {str(page.index + 1): round(page.kept, 4) for page in score.conservation if page.total},
        sum(len(page.warnings) for page in score.outcome.pages),
    )


def write(path: Path, run: StoredRun) -> None:
    """Write a run, as JSON that can be read and compared by eye."""
    path.write_bytes(
        msgspec.json.format(msgspec.json.encode(run, order="sorted"), indent=1) + b"\n"
    )


def read(path: Path) -> StoredRun:
    """Read a run.

    :raises CannotRead: it is none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=StoredRun)
    except OSError as error:
        raise CannotRead(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise CannotRead(f"{path} is not a stored run: {error}") from error


def regressions(before: StoredRun, after: StoredRun) -> Iterator[str]:
    """Yield a line for everything the later run does worse, document by document."""
    for name, old in before.documents.items():
        new = after.documents.get(name)
        if new is None:
            continue
        if new.refusal and not old.refusal:
            yield f"{name}: is refused: {new.refusal}"
            continue
        yield from (f"{name}: no longer: {line}" for line in old.held if line not in new.held)
        for score, value in old.scores.items():
            if new.scores.get(score, 0.0) < value - TOLERANCE:
                yield f"{name}: {score} falls from {value:.3f} to {new.scores.get(score, 0.0):.3f}"
        for page, value in old.kept.items():
            if new.kept.get(page, 0.0) < value - TOLERANCE:
                fallen = f"from {value:.3f} to {new.kept.get(page, 0.0):.3f}"
                yield f"{name}: words kept of page {page} fall {fallen}"


def improvements(before: StoredRun, after: StoredRun) -> int:
    """Return how many expectations hold that did not."""
    return sum(
        len(set(new.held) - set(before.documents[name].held))
        for name, new in after.documents.items()
        if name in before.documents
    )
