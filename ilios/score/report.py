"""Tables of scores: a line for each kind of document, and what is not as expected."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from ilios.score.reference import SCORES
from ilios.score.scoring import DocumentScore

TOTAL = "all"
COLUMNS = (
    "documents",
    "pages",
    "expected",
    "refused",
    "warned",
    "kept",
    "added",
    *SCORES,
    "s/page",
)
MAX_MISSING = 6  # lost words printed for a page


def table(scores: Sequence[DocumentScore]) -> list[str]:
    """Return a table with a line for each kind, and one for all documents."""
    kinds: dict[str, list[DocumentScore]] = defaultdict(list)
    for score in scores:
        kinds[score.kind].append(score)
    rows: list[tuple[str, ...]] = [("kind", *COLUMNS)]
    rows += [(kind or ".", *_cells(kinds[kind])) for kind in sorted(kinds)]
    if len(kinds) > 1:
        rows.append((TOTAL, *_cells(scores)))
    shown = [0, *(n for n in range(1, len(rows[0])) if any(row[n] for row in rows[1:]))]
    widths = [max(len(row[number]) for row in rows) for number in shown]
    return [
        "  ".join(
            row[number].rjust(width) if number else row[number].ljust(width)
            for number, width in zip(shown, widths, strict=True)
        )
        for row in rows
    ]


def totals(scores: Sequence[DocumentScore]) -> dict[str, float]:
    """Return the mean of each score over the documents that have it."""
    return {
        name: sum(values) / len(values)
        for name in SCORES
        if (values := [score.scores[name] for score in scores if name in score.scores])
    }


def _cells(scores: Sequence[DocumentScore]) -> Iterator[str]:
    pages = [page for score in scores for page in score.outcome.pages]
    held = sum(len(score.held) for score in scores)
    expected = held + sum(len(score.broken) for score in scores)
    measured = [page for score in scores for page in score.conservation if page.total]
    words = sum(page.total for page in measured)
    means = totals(scores)
    yield str(len(scores))
    yield str(len(pages))
    yield f"{held}/{expected}" if expected else ""
    yield _count(sum(score.is_failure for score in scores))
    yield _count(sum(bool(page.warnings) for page in pages))
    yield _percent(sum(page.kept * page.total for page in measured), words)
    yield _percent(sum(page.added * page.total for page in measured), words)
    for name in SCORES:
        yield f"{means[name]:.3f}" if name in means else ""
    yield f"{sum(score.seconds for score in scores) / len(pages):.2f}" if pages else ""


def _count(number: int) -> str:
    return str(number) if number else ""


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}%" if whole else ""


def failures(scores: Iterable[DocumentScore]) -> Iterator[str]:
    """Yield a line for each document and expectation that is not as it should be."""
    for score in scores:
        if score.is_failure:
            yield f"{score.name}: refused: {score.outcome.refusal}"
        else:
            yield from (f"{score.name}: not as expected: {line}" for line in score.broken)


def losses(scores: Iterable[DocumentScore]) -> Iterator[str]:
    """Yield a line for each page that loses words, and whether the result warns of it."""
    for score in scores:
        for page in score.conservation:
            if page.is_silent_loss or page.is_great_loss:
                missing = " ".join(page.missing[:MAX_MISSING])
                yield (
                    f"{score.name}, page {page.index + 1}: {100 * page.kept:.1f} % of {page.total} "
                    f"words, {', '.join(page.warnings) or 'no warning'}; missing: {missing}"
                )


def loss_summary(scores: Iterable[DocumentScore]) -> str:
    """Return how many pages lose words, in one line."""
    pages = [page for score in scores for page in score.conservation if page.total]
    silent = sum(page.is_silent_loss for page in pages)
    great = sum(page.is_great_loss for page in pages)
    return (
        f"conservation: {len(pages)} pages with a text layer, {silent} below 98 % without a "
        f"warning, {great} below 80 %"
    )


def warning_summary(scores: Iterable[DocumentScore]) -> list[str]:
    """Return how many pages have each warning."""
    codes = Counter(
        code for score in scores for page in score.outcome.pages for code in set(page.warnings)
    )
    return [f"warning {code}: {count} pages" for code, count in codes.most_common()]


def each(scores: Iterable[DocumentScore]) -> Iterator[str]:
    """Yield a line with the scores of each document."""
    for score in scores:
        figures = [f"{name}={value:.3f}" for name, value in score.scores.items()]
        if score.held or score.broken:
            figures.append(f"expected={len(score.held)}/{len(score.held) + len(score.broken)}")
        kept = [page.kept for page in score.conservation if page.total]
        if kept:
            figures.append(f"kept={min(kept):.3f}")
        yield f"{score.name:52} {' '.join(figures)} {score.seconds:.2f} s"
