"""Holding a database that was made anew against the log, and against the one it replaces."""

from pathlib import Path

from msgspec import Struct

from bus.replay import LogExtent
from ilios.database.recovery import verify_queries
from ilios.database.recovery.comparison import Comparison, Key
from ilios.database.recovery.expected import UNFINISHED, ExpectedState, Ref


class Disagreement(Struct, frozen=True):
    """A document or batch that does not stand as the log says."""

    name: Ref
    why: str


class UnexplainedDiff(Struct, frozen=True):
    """How a table of the old database differs beyond what the log has said since its cursor.

    ``changed`` rows stand otherwise in it and nothing but a snapshot speaks for the new ones;
    ``overruled`` ones do, too, but the file is damaged and the log speaks for the new ones;
    ``gone`` ones are neither in a snapshot nor on the log.
    """

    table: str
    changed: tuple[Key, ...]
    overruled: tuple[Key, ...]
    gone: tuple[Key, ...]


def check_against_log(
    database: Path, expected: ExpectedState, extent: LogExtent | None, *, whole: bool
) -> list[Disagreement]:
    """Return what stands otherwise than the log says, and what is billed wrongly.

    What began before this log (or, where it is not the ``whole`` history, before its first event)
    cannot be followed from its beginning: of that only the end is held against it.
    """
    found: list[Disagreement] = []
    waiting = dict(expected.documents)
    for tenant, name, state, requeues, submitted in verify_queries.document_states(database):
        history = waiting.pop((tenant, name), None)
        if history is None:
            continue
        followed = whole and extent is not None and submitted >= extent.first
        if history.state is not None and followed and state != history.state:
            why = f"it is {state}, the log says {history.state}"
            found.append(Disagreement((tenant, name), why))
        # An end of an earlier attempt is none: it was requeued before this log begins.
        elif history.ended and state in UNFINISHED and history.requeues >= requeues:
            found.append(Disagreement((tenant, name), f"it is {state}, the log says how it ended"))
    found.extend(
        Disagreement(name, "it is missing, and was submitted")
        for name, said in waiting.items()
        if said.state is not None
    )
    present = verify_queries.batch_ids(database)
    found.extend(
        Disagreement(name, "the batch is missing")
        for name in expected.submitted_batches
        if name not in present
    )
    found.extend(
        Disagreement(name, "it was completed and is not billed, or the other way round")
        for name in verify_queries.billing_mismatches(database)
    )
    return found


def compare_with_old(
    compared: Comparison, expected: ExpectedState, created: str | None
) -> list[UnexplainedDiff]:
    """Say in what the old database differs without the log having said anything new."""
    seen = compared.cursor[1] if compared.cursor and compared.cursor[0] == created else 0
    found = []
    for table in compared.tables:
        changed: list[Key] = []
        overruled: list[Key] = []
        for key in table.changed:
            sequence = _last_sequence(table.table, key, expected)
            if sequence > seen:
                continue
            speaks = sequence > 0 and compared.fault is not None
            (overruled if speaks else changed).append(key)
        one = UnexplainedDiff(table.table, tuple(changed), tuple(overruled), table.gone)
        if one.changed or one.overruled or one.gone:
            found.append(one)
    return found


def _last_sequence(table: str, key: Key, expected: ExpectedState) -> int:
    """Return the sequence of the last event about a row; 0 where the log has none."""
    name = (key[0], key[1])
    if table == "batches":
        return expected.batches.get(name, 0)
    said = expected.documents.get(name)
    return said.sequence if said else 0
