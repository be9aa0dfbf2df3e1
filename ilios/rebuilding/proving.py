"""Holding a database that was made anew against the log, and against the one it replaces."""

from pathlib import Path

from msgspec import Struct

from bus.replay import Extent
from ilios.database import proof_reads
from ilios.database.comparison import Compared, Key
from ilios.rebuilding.expected import UNFINISHED, Expected, Name


class Disagreement(Struct, frozen=True):
    """A document or batch that does not stand as the log says."""

    name: Name
    why: str


class Otherwise(Struct, frozen=True):
    """How a table of the old database differs beyond what the log has said since its cursor.

    ``changed`` rows stand otherwise in it and nothing but a snapshot speaks for the new ones;
    ``overruled`` ones do, too, but the file is damaged and the log speaks for the new ones;
    ``gone`` ones are neither in a snapshot nor on the log.
    """

    table: str
    changed: tuple[Key, ...]
    overruled: tuple[Key, ...]
    gone: tuple[Key, ...]


def against_log(
    database: Path, expected: Expected, extent: Extent | None, *, whole: bool
) -> list[Disagreement]:
    """Return what stands otherwise than the log says, and what is billed wrongly.

    What began before this log (or, where it is not the ``whole`` history, before its first event)
    cannot be followed from its beginning: of that only the end is held against it.
    """
    found: list[Disagreement] = []
    waiting = dict(expected.documents)
    for tenant, name, state, requeues, submitted in proof_reads.states(database):
        said = waiting.pop((tenant, name), None)
        if said is None:
            continue
        followed = whole and extent is not None and submitted >= extent.first
        if said.state is not None and followed and state != said.state:
            why = f"it is {state}, the log says {said.state}"
            found.append(Disagreement((tenant, name), why))
        # An end of an earlier attempt is none: it was requeued before this log begins.
        elif said.ended and state in UNFINISHED and said.requeues >= requeues:
            found.append(Disagreement((tenant, name), f"it is {state}, the log says how it ended"))
    found.extend(
        Disagreement(name, "it is missing, and was submitted")
        for name, said in waiting.items()
        if said.state is not None
    )
    there = proof_reads.batches(database)
    found.extend(
        Disagreement(name, "the batch is missing")
        for name in expected.submitted_batches
        if name not in there
    )
    found.extend(
        Disagreement(name, "it was completed and is not billed, or the other way round")
        for name in proof_reads.misbilled(database)
    )
    return found


def against_old(compared: Compared, expected: Expected, created: str | None) -> list[Otherwise]:
    """Say in what the old database differs without the log having said anything new."""
    seen = compared.cursor[1] if compared.cursor and compared.cursor[0] == created else 0
    found = []
    for table in compared.tables:
        changed: list[Key] = []
        overruled: list[Key] = []
        for key in table.changed:
            sequence = _last_word(table.table, key, expected)
            if sequence > seen:
                continue
            speaks = sequence > 0 and compared.fault is not None
            (overruled if speaks else changed).append(key)
        one = Otherwise(table.table, tuple(changed), tuple(overruled), table.gone)
        if one.changed or one.overruled or one.gone:
            found.append(one)
    return found


def _last_word(table: str, key: Key, expected: Expected) -> int:
    """Return the sequence of the last event about a row; 0 where the log has none."""
    name = (key[0], key[1])
    if table == "batches":
        return expected.batches.get(name, 0)
    said = expected.documents.get(name)
    return said.sequence if said else 0
