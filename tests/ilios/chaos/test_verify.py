"""Every kind of violation is found, and named with its document."""

from collections.abc import Callable

import msgspec
import pytest

from ilios.chaos.verify import VIOLATION_KINDS, ReadBatch, find_violations
from tests.ilios.chaos.sample_run import (
    BATCH,
    BROKEN,
    CANCELLED,
    DELETED,
    FIRST,
    GOOD,
    NEVER_ACCEPTED,
    SECOND,
    SampleRun,
)


def _without_row(run: SampleRun) -> None:
    del run.audit.documents[GOOD]


def _without_batch(run: SampleRun) -> None:
    del run.audit.batches[BATCH]
    run.change(FIRST, batch=None)
    run.change(SECOND, batch=None)


def _refused_yet_billed(run: SampleRun) -> None:
    for submission in run.record.submissions.values():
        if submission.outcome == "unanswered":
            submission.outcome = "refused"


def _swapped(run: SampleRun) -> None:
    good, first = run.audit.documents[GOOD], run.audit.documents[FIRST]
    run.change(GOOD, sha256=first.sha256)
    run.change(FIRST, sha256=good.sha256)


def _landed_twice(run: SampleRun) -> None:
    run.change(NEVER_ACCEPTED, sha256=run.audit.documents[GOOD].sha256)


def _bill_without_document(run: SampleRun) -> None:
    run.audit = msgspec.structs.replace(run.audit, billed_for_nothing=("missing",))


def _damaged(run: SampleRun) -> None:
    run.audit = msgspec.structs.replace(run.audit, damage=("row 3 missing from index",))


def _batch_counts(**changes: int) -> Callable[[SampleRun], None]:
    def corrupt(run: SampleRun) -> None:
        read = run.readback.batches[BATCH]
        run.readback.batches[BATCH] = ReadBatch({**read.progress, **changes}, read.faults)

    return corrupt


def _batch_download(**faults: str | None) -> Callable[[SampleRun], None]:
    def corrupt(run: SampleRun) -> None:
        read = run.readback.batches[BATCH]
        run.readback.batches[BATCH] = ReadBatch(read.progress, faults)

    return corrupt


def _seen(name: str, state: str) -> Callable[[SampleRun], None]:
    def corrupt(run: SampleRun) -> None:
        run.record.record_state(name, state, None, asked_at=4.0, now=5.0)

    return corrupt


def _row(name: str, **changes: object) -> Callable[[SampleRun], None]:
    return lambda run: run.change(name, **changes)


def _read(name: str, **changes: object) -> Callable[[SampleRun], None]:
    return lambda run: run.read(name, **changes)


def _batch_still_open(run: SampleRun) -> None:
    run.audit.batches[BATCH] = False


VIOLATIONS: dict[str, tuple[Callable[[SampleRun], None], str, str]] = {
    "no row": (_without_row, "lost", GOOD),
    "no batch": (_without_batch, "lost", BATCH),
    "no status": (_read(GOOD, state=None), "lost", GOOD),
    "removed though not deleted": (
        _row(GOOD, state="cancelled", pages=None, bills=0),
        "lost",
        GOOD,
    ),
    "not ended": (_row(GOOD, state="processing", pages=None, bills=0), "stuck", GOOD),
    "a page of another": (_read(GOOD, fault="it has page 2 of document 9"), "mixed up", GOOD),
    "an original of another": (_row(GOOD, sha256="0" * 64), "mixed up", GOOD),
    "originals swapped": (_swapped, "mixed up", FIRST),
    "a reference of another": (_row(GOOD, reference="0" * 64), "mixed up", GOOD),
    "a reference of a removed one": (_row(DELETED, reference="0" * 64), "mixed up", DELETED),
    "a page less": (_row(GOOD, pages=2, billed_pages=2), "mixed up", GOOD),
    "nonsense converted": (_row(BROKEN, state="completed", code=None), "mixed up", BROKEN),
    "never submitted": (_row(NEVER_ACCEPTED, sha256="0" * 64), "mixed up", NEVER_ACCEPTED),
    "another's in a download": (
        _batch_download(first="it has page 1 of document 9", second=None),
        "mixed up",
        FIRST,
    ),
    "two of one request": (_landed_twice, "made twice", NEVER_ACCEPTED),
    "a good one failed": (
        _row(GOOD, state="failed", code="source_missing", pages=None, bills=0, billed_pages=0),
        "failed wrongly",
        GOOD,
    ),
    "failed for another reason": (_row(BROKEN, code="stuck"), "failed wrongly", BROKEN),
    "two bills": (_row(GOOD, bills=2), "billed twice", GOOD),
    "no bill": (_row(GOOD, bills=0, billed_pages=0), "not billed", GOOD),
    "no bill of a deleted one": (_row(DELETED, bills=0, billed_pages=0), "not billed", DELETED),
    "no bill of a stranger": (
        _row(NEVER_ACCEPTED, bills=0, billed_pages=0),
        "not billed",
        NEVER_ACCEPTED,
    ),
    "a failed one billed": (_row(BROKEN, bills=1, billed_pages=1), "billed wrongly", BROKEN),
    "a cancelled one billed": (_row(CANCELLED, bills=1), "billed wrongly", CANCELLED),
    "another number of pages": (_row(GOOD, billed_pages=2), "billed wrongly", GOOD),
    "refused and billed": (_refused_yet_billed, "billed wrongly", NEVER_ACCEPTED),
    "a bill without a document": (_bill_without_document, "billed wrongly", "missing"),
    "completed and then failed": (_seen(GOOD, "failed"), "regressed", GOOD),
    "completed and then pending": (_seen(GOOD, "pending"), "regressed", GOOD),
    "back from the deleted": (_row(DELETED, state="completed"), "regressed", DELETED),
    "not what its receipt reads": (
        _row(CANCELLED, state="deleted", pages=1, bills=1, billed_pages=1),
        "regressed",
        CANCELLED,
    ),
    "counted wrongly": (_batch_counts(completed=2, failed=0), "miscounted", BATCH),
    "one too few in a batch": (_row(SECOND, batch=None), "miscounted", BATCH),
    "a line missing in a download": (_batch_download(first=None), "miscounted", BATCH),
    "a batch that does not end": (_batch_still_open, "miscounted", BATCH),
    "readable although deleted": (_read(DELETED, markdown=200), "answered wrongly", DELETED),
    "no original": (_read(GOOD, original=404), "answered wrongly", GOOD),
    "another status": (_read(GOOD, state="failed"), "answered wrongly", GOOD),
    "damage": (_damaged, "database damaged", "ilios.db"),
}

FOUND_WHILE_RUNNING = {"ended by itself", "false alarm", "left running"}
"""Found during a run, not by verification: tests/ilios/cli/test_chaos.py and test_plan.py."""


def test_a_run_without_violations_has_none() -> None:
    run = SampleRun()
    assert find_violations(run.record, run.readback, run.audit) == []


@pytest.mark.parametrize("name", VIOLATIONS)
def test_the_violation_is_found_and_named(name: str) -> None:
    corrupt, kind, document = VIOLATIONS[name]
    run = SampleRun()
    corrupt(run)

    found = find_violations(run.record, run.readback, run.audit)

    assert (kind, document) in {(one.kind, one.name) for one in found}
    assert {one.kind for one in found} <= VIOLATION_KINDS.keys()


def test_every_kind_of_violation_has_a_case() -> None:
    assert {
        kind for _, kind, _ in VIOLATIONS.values()
    } | FOUND_WHILE_RUNNING == VIOLATION_KINDS.keys()


def test_a_refused_document_may_be_stored_if_it_is_not_billed() -> None:
    run = SampleRun()
    _refused_yet_billed(run)
    run.change(
        NEVER_ACCEPTED, state="failed", code="source_missing", pages=None, bills=0, billed_pages=0
    )
    assert find_violations(run.record, run.readback, run.audit) == []
