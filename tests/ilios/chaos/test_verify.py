"""What was promised is held against what became of it: every kind of breach is found, and named."""

from collections.abc import Callable

import msgspec
import pytest

from ilios.chaos.readback import ReadBatch
from ilios.chaos.verify import VIOLATION_KINDS, find_violations
from tests.ilios.chaos.sample_run import (
    BATCH,
    BROKEN,
    CANCELLED,
    DELETED,
    FIRST,
    GOOD,
    NEVER_ACCEPTED,
    SECOND,
    TrialOnPaper,
)


def _without_row(trial: TrialOnPaper) -> None:
    del trial.audit.documents[GOOD]


def _without_batch(trial: TrialOnPaper) -> None:
    del trial.audit.batches[BATCH]
    trial.change(FIRST, batch=None)
    trial.change(SECOND, batch=None)


def _refused_yet_billed(trial: TrialOnPaper) -> None:
    for submission in trial.record.submissions.values():
        if submission.outcome == "unanswered":
            submission.outcome = "refused"


def _swapped(trial: TrialOnPaper) -> None:
    good, first = trial.audit.documents[GOOD], trial.audit.documents[FIRST]
    trial.change(GOOD, sha256=first.sha256)
    trial.change(FIRST, sha256=good.sha256)


def _landed_twice(trial: TrialOnPaper) -> None:
    trial.change(NEVER_ACCEPTED, sha256=trial.audit.documents[GOOD].sha256)


def _bill_of_nobody(trial: TrialOnPaper) -> None:
    trial.audit = msgspec.structs.replace(trial.audit, billed_for_nothing=("nobody",))


def _damaged(trial: TrialOnPaper) -> None:
    trial.audit = msgspec.structs.replace(trial.audit, damage=("row 3 missing from index",))


def _batch_counts(**changes: int) -> Callable[[TrialOnPaper], None]:
    def doctor(trial: TrialOnPaper) -> None:
        read = trial.readback.batches[BATCH]
        trial.readback.batches[BATCH] = ReadBatch({**read.progress, **changes}, read.faults)

    return doctor


def _batch_download(**faults: str | None) -> Callable[[TrialOnPaper], None]:
    def doctor(trial: TrialOnPaper) -> None:
        read = trial.readback.batches[BATCH]
        trial.readback.batches[BATCH] = ReadBatch(read.progress, faults)

    return doctor


def _seen(name: str, state: str) -> Callable[[TrialOnPaper], None]:
    def doctor(trial: TrialOnPaper) -> None:
        trial.record.record_state(name, state, None, asked_at=4.0, now=5.0)

    return doctor


def _row(name: str, **changes: object) -> Callable[[TrialOnPaper], None]:
    return lambda trial: trial.change(name, **changes)


def _read(name: str, **changes: object) -> Callable[[TrialOnPaper], None]:
    return lambda trial: trial.read(name, **changes)


def _batch_still_open(trial: TrialOnPaper) -> None:
    trial.audit.batches[BATCH] = False


BREACHES: dict[str, tuple[Callable[[TrialOnPaper], None], str, str]] = {
    "no row": (_without_row, "lost", GOOD),
    "no batch": (_without_batch, "lost", BATCH),
    "no status": (_read(GOOD, state=None), "lost", GOOD),
    "removed by nobody": (_row(GOOD, state="cancelled", pages=None, bills=0), "lost", GOOD),
    "not ended": (_row(GOOD, state="processing", pages=None, bills=0), "stuck", GOOD),
    "a page of another": (_read(GOOD, fault="it has page 2 of document 9"), "mixed up", GOOD),
    "an original of another": (_row(GOOD, sha256="0" * 64), "mixed up", GOOD),
    "originals swapped": (_swapped, "mixed up", FIRST),
    "a page less": (_row(GOOD, pages=2, billed_pages=2), "mixed up", GOOD),
    "nonsense converted": (_row(BROKEN, state="completed", code=None), "mixed up", BROKEN),
    "submitted by nobody": (_row(NEVER_ACCEPTED, sha256="0" * 64), "mixed up", NEVER_ACCEPTED),
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
    "a bill of nobody": (_bill_of_nobody, "billed wrongly", "nobody"),
    "completed and then failed": (_seen(GOOD, "failed"), "regressed", GOOD),
    "completed and then pending": (_seen(GOOD, "pending"), "regressed", GOOD),
    "back from the deleted": (_row(DELETED, state="completed"), "regressed", DELETED),
    "not what the receipt says": (
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
    "told otherwise": (_read(GOOD, state="failed"), "answered wrongly", GOOD),
    "damage": (_damaged, "database damaged", "ilios.db"),
}

NOTED_MEANWHILE = {"ended by itself", "left running"}
"""What is not found on paper: tests of the real thing are elsewhere."""


def test_nothing_is_found_where_everything_fits() -> None:
    trial = TrialOnPaper()
    assert find_violations(trial.record, trial.readback, trial.audit) == []


@pytest.mark.parametrize("name", BREACHES)
def test_the_breach_is_found_and_named(name: str) -> None:
    doctor, kind, document = BREACHES[name]
    trial = TrialOnPaper()
    doctor(trial)

    found = find_violations(trial.record, trial.readback, trial.audit)

    assert (kind, document) in {(one.kind, one.name) for one in found}
    assert {one.kind for one in found} <= VIOLATION_KINDS.keys()


def test_every_kind_of_breach_is_proved() -> None:
    assert {kind for _, kind, _ in BREACHES.values()} | NOTED_MEANWHILE == VIOLATION_KINDS.keys()


def test_what_was_refused_may_land_if_it_is_not_billed() -> None:
    trial = TrialOnPaper()
    _refused_yet_billed(trial)
    trial.change(
        NEVER_ACCEPTED, state="failed", code="source_missing", pages=None, bills=0, billed_pages=0
    )
    assert find_violations(trial.record, trial.readback, trial.audit) == []
