"""SQL statements of lists: the places of documents and batches in the order of their submission.

Each reads one index in its order, from a place on, and stops after ``:examined`` rows. Filters that
the index does not have are the column ``matches``, so that a filter that matches rarely costs no
more than any other. Parameters are named.
"""

from collections.abc import Iterable
from functools import cache

from ilios.database import statements
from schemas.lists import Order
from schemas.states import TERMINAL_STATES, UNFINISHED_STATES, BatchState, DocumentState

_SHOWN_STATE = "iif(state = 'archived' AND markdown_key IS NULL, 'failed', state)"
"""Written as in the index ``documents_listed``, which is used only for the same expression."""
_NAME_MATCHES = "instr(lower(file_name), lower(:name)) > 0"


def _names(states: Iterable[str]) -> str:
    return ", ".join(f"'{state}'" for state in states)


def _from_place(order: Order) -> str:
    """Return the condition of rows after ``:at``, ``:id`` and not beyond ``:bound``."""
    if order == "asc":
        return "(submitted_at, id) > (:at, :id) AND submitted_at <= :bound"
    return "(submitted_at, id) < (:at, :id) AND submitted_at >= :bound"


def _ordered(order: Order) -> str:
    return f"ORDER BY submitted_at {order}, id {order} LIMIT :examined"


@cache
def documents_by_state(
    states: tuple[DocumentState, ...],
    order: Order,
    *,
    named: bool,
) -> str:
    """Return the query for documents in one of these states, those of each read in their order."""
    matches = _NAME_MATCHES if named else "1"
    of_states = (
        f"SELECT submitted_at, id, {matches} AS matches "  # noqa: S608  # all of it is ours
        f"FROM documents INDEXED BY documents_listed "
        f"WHERE tenant = :tenant AND {_SHOWN_STATE} = '{state}' AND {_from_place(order)}"
        for state in states
    )
    return f"{' UNION ALL '.join(of_states)} {_ordered(order)}"


@cache
def documents_by_reference(
    states: tuple[DocumentState, ...],
    order: Order,
    *,
    named: bool,
) -> str:
    """Return the query for documents with the reference ``:reference``."""
    matches = f"{_SHOWN_STATE} IN ({_names(states)})" + (f" AND {_NAME_MATCHES}" if named else "")
    return (
        f"SELECT submitted_at, id, {matches} AS matches "  # noqa: S608  # all of it is ours
        "FROM documents INDEXED BY documents_by_reference "
        f"WHERE tenant = :tenant AND reference = :reference AND {_from_place(order)} "
        f"{_ordered(order)}"
    )


@cache
def documents_of_batch(
    states: tuple[DocumentState, ...],
    order: Order,
    *,
    named: bool,
    referenced: bool,
) -> str:
    """Return the query for documents of the batch ``:batch``; they are sorted, for they are few."""
    matches = f"{_SHOWN_STATE} IN ({_names(states)})" + (f" AND {_NAME_MATCHES}" if named else "")
    matches += " AND reference IS :reference" if referenced else ""
    return (
        f"SELECT submitted_at, id, {matches} AS matches "  # noqa: S608  # all of it is ours
        "FROM documents INDEXED BY documents_of_batch "
        f"WHERE tenant = :tenant AND batch_id = :batch AND {_from_place(order)} {_ordered(order)}"
    )


@cache
def listed_documents(states: tuple[DocumentState, ...]) -> str:
    """Return the query for the documents ``:names`` that are in one of these states still."""
    return f"{statements.DOCUMENTS_BY_ID} WHERE {_SHOWN_STATE} IN ({_names(states)})"


def _any_document(condition: str) -> str:
    return (
        "EXISTS (SELECT 1 FROM documents AS d INDEXED BY documents_of_batch "  # noqa: S608  # ours
        f"WHERE d.tenant = batches.tenant AND d.batch_id = batches.id AND {condition})"
    )


# The state that ``BatchCounts`` computes, without counting.
_UNFINISHED = _any_document(f"d.state IN ({_names(UNFINISHED_STATES)})")
_ENDED = _any_document(f"d.state IN ({_names(TERMINAL_STATES)})")
_COMPLETED = _any_document(f"d.state IN ({_names(TERMINAL_STATES)}) AND d.code IS NULL")
_BATCH_STATE = (
    f"iif({_UNFINISHED}, iif({_ENDED}, 'processing', 'pending'), "
    f"iif({_COMPLETED}, 'completed', 'failed'))"
)


BATCHES_BY_ID = f"""
{statements.SELECT_BATCH}
WHERE b.tenant = :tenant AND b.id IN (SELECT value FROM json_each(:ids))
GROUP BY b.tenant, b.id
"""  # noqa: S608  # all of it is ours


@cache
def batches(states: tuple[BatchState, ...], order: Order, *, referenced: bool) -> str:
    """Return the query for batches; without ``states`` in any, ``referenced`` by ``:reference``."""
    index = "batches_by_reference" if referenced else "batches_listed"
    matches = f"{_BATCH_STATE} IN ({_names(states)})" if states else "1"
    return (
        f"SELECT submitted_at, id, {matches} AS matches "  # noqa: S608  # all of it is ours
        f"FROM batches INDEXED BY {index} WHERE tenant = :tenant"
        f"{' AND reference = :reference' if referenced else ''} "
        f"AND {_from_place(order)} {_ordered(order)}"
    )
