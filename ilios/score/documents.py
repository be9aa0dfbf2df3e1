"""Documents to score, with the files beside them that state what is expected.

Beside ``report.pdf`` may stand ``report.pdf.expect`` or ``report.expect`` with expectations, and
``report.pdf.expected.md``, ``report.expected.md``, ``report.pdf.md`` or ``report.md`` with a
reference text.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from ilios.score import expectations
from ilios.score.expectations import BadExpectation, Expectation

SUFFIXES = frozenset(
    f".{kind}"
    for kind in (
        *("pdf", "docx", "pptx", "png", "apng", "jpg", "jpeg", "webp", "gif", "tif", "tiff", "bmp"),
        *("avif", "heic", "heif"),
    )
)
REFERENCES = (".expected.md", ".md")


class NoDocuments(Exception):
    """There is nothing to score; the message has the place."""


class ScoredDocument(Struct, frozen=True):
    """A document: ``name`` is its path below the directory, ``kind`` the row of its scores."""

    name: str
    kind: str
    path: Path
    expectations: tuple[Expectation, ...] = ()
    reference: str | None = None


def find_documents(directory: Path) -> list[ScoredDocument]:
    """Return the documents below a directory; the kind of each is the name of its directory.

    :raises NoDocuments, BadExpectation, OSError: there are none, or a file cannot be used.
    """
    found = [
        ScoredDocument(
            path.relative_to(directory).as_posix(),
            path.parent.name,
            path,
            _expectations_beside(path),
            _reference_beside(path),
        )
        for path in sorted(directory.rglob("*"))
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]
    if not found:
        raise NoDocuments(f"no documents in {directory}")
    return found


def read_corpus(directory: Path) -> list[ScoredDocument]:
    """Return the documents that ``manifest.json`` lists, with the references it names.

    A reference in JSON Lines has checks of many documents: objects with ``pdf`` and ``type``.

    :raises NoDocuments, OSError: there is no such list, or a file cannot be read.
    """
    try:
        entries = json.loads((directory / "manifest.json").read_text())
        found = []
        checks: dict[str, dict[str, list[Expectation]]] = {}
        for entry in entries:
            path, named = directory / entry["path"], entry.get("gt")
            listed: tuple[Expectation, ...] = ()
            reference = None
            if named and named.endswith(".jsonl"):
                by_document = checks.setdefault(named, _read_checks(directory / named))
                listed = tuple(_checks_of(by_document, path.name))
            elif named:
                reference = (directory / named).read_text(errors="replace")
            found.append(ScoredDocument(path.name, entry["kind"], path, listed, reference))
    except (ValueError, KeyError, TypeError) as error:
        raise NoDocuments(f"{directory}/manifest.json is not a list of documents") from error
    return found


def _expectations_beside(path: Path) -> tuple[Expectation, ...]:
    for file in (path.with_name(f"{path.name}.expect"), path.with_suffix(".expect")):
        if file.is_file():
            try:
                return expectations.parse(file.read_text(encoding="utf-8"), str(file))
            except UnicodeDecodeError as error:
                raise BadExpectation(f"{file} is not UTF-8") from error
    return ()


def _reference_beside(path: Path) -> str | None:
    for suffix in REFERENCES:
        for file in (path.with_name(path.name + suffix), path.with_suffix(suffix)):
            if file.is_file():
                return file.read_text(encoding="utf-8", errors="replace")
    return None


def _checks_of(by_document: dict[str, list[Expectation]], name: str) -> Iterator[Expectation]:
    """Yield the checks of a document, whose name may have the prefix of a collection."""
    yield from by_document.get(name, by_document.get(name.partition("__")[2], []))


def _read_checks(path: Path) -> dict[str, list[Expectation]]:
    found: dict[str, list[Expectation]] = defaultdict(list)
    for line in path.read_text().splitlines():
        if line.strip():
            check = json.loads(line)
            convert = CHECKS.get(check["type"])
            if convert:
                found[Path(check["pdf"]).name].append(convert(check))
    return dict(found)


def _present(check: dict[str, str]) -> Expectation:
    return Expectation("content", check["text"], 0, int(check.get("max_diffs") or 0))


def _absent(check: dict[str, str]) -> Expectation:
    return Expectation("not-content", check["text"], 0, int(check.get("max_diffs") or 0))


def _order(check: dict[str, str]) -> Expectation:
    parts = f"{check['before']} | {check['after']}"
    return Expectation("before", parts, 0, int(check.get("max_diffs") or 0))


def _table(check: dict[str, str]) -> Expectation:
    around = [
        f"{side}={check[side]}"
        for side in (*expectations.AROUND, *expectations.HEADS)
        if check.get(side)
    ]
    parts = " | ".join([check["cell"], *around])
    return Expectation("cell", parts, 0, int(check.get("max_diffs") or 0))


CHECKS: dict[str, Callable[[dict[str, str]], Expectation]] = {
    "present": _present,
    "absent": _absent,
    "order": _order,
    "table": _table,
}
