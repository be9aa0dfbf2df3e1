"""Queries of lists: a page of documents or batches, with bounded work for each."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

import msgspec

from ilios.database import list_statements, rows
from ilios.database.sqlite import Database
from schemas.batches import MAX_BATCH_DOCUMENTS
from schemas.lists import BatchListRequest, DocumentListRequest, ListRequest, Page, Place
from schemas.records import BatchRecord, DocumentRecord

MAX_EXAMINED = 2000
"""Documents that are examined for one page at most, whatever the filters are."""
MAX_EXAMINED_BATCHES = 500
"""The same of batches, whose state takes look-ups of its documents."""
_PORTION = 250
"""Rows that are examined at once; other queries of the connection are served in between."""

_T = TypeVar("_T")
_Request = TypeVar("_Request", bound=ListRequest)


class _Bounds(NamedTuple):
    """How many rows are examined at once, and for a page."""

    portion: int
    page: int


class SqliteListQueries:
    """Queries of lists, over a connection of their own."""

    def __init__(self, connection: Database) -> None:
        self._connection = connection

    async def documents(self, wanted: DocumentListRequest) -> Page[DocumentRecord]:
        """Return a page of the documents of a tenant."""
        named, referenced = wanted.name is not None, wanted.reference is not None
        if wanted.batch_id is not None:
            statement = list_statements.documents_of_batch(
                wanted.states, wanted.order, named=named, referenced=referenced
            )
        elif referenced:
            statement = list_statements.documents_by_reference(
                wanted.states, wanted.order, named=named
            )
        else:
            statement = list_statements.documents_by_state(wanted.states, wanted.order, named=named)
        filters = {"reference": wanted.reference, "name": wanted.name, "batch": wanted.batch_id}
        # All documents of a batch are sorted for each portion: one is enough.
        portion = MAX_BATCH_DOCUMENTS + 1 if wanted.batch_id is not None else _PORTION
        bounds = _Bounds(portion, MAX_EXAMINED)
        return await self._page(wanted, statement, filters, bounds, self._read_documents)

    async def batches(self, wanted: BatchListRequest) -> Page[BatchRecord]:
        """Return a page of the batches of a tenant."""
        referenced = wanted.reference is not None
        statement = list_statements.batches(wanted.states, wanted.order, referenced=referenced)
        filters = {"reference": wanted.reference}
        bounds = _Bounds(_PORTION, MAX_EXAMINED_BATCHES)
        return await self._page(wanted, statement, filters, bounds, self._read_batches)

    async def _page(
        self,
        wanted: _Request,
        statement: str,
        filters: dict[str, str | None],
        bounds: _Bounds,
        read: Callable[[_Request, list[str]], Awaitable[dict[str, _T]]],
    ) -> Page[_T]:
        found: list[Place] = []
        place, examined, more = wanted.after or _begin(wanted), 0, True
        bound = rows.LATEST if wanted.order == "asc" else rows.EARLIEST
        end = wanted.until if wanted.order == "asc" else wanted.since
        parameters: dict[str, object] = {
            "tenant": wanted.tenant,
            "bound": bound if end is None else rows.to_milliseconds(end),
            **filters,
        }
        while more and len(found) <= wanted.limit and examined < bounds.page:
            here: dict[str, object] = {"at": place.at, "id": place.id, "examined": bounds.portion}
            seen = await self._connection.fetchall(statement, parameters | here)
            found += [Place(at, name) for at, name, matches in seen if matches]
            examined, more = examined + len(seen), len(seen) == bounds.portion
            if seen:
                place = Place(*seen[-1][:2])
        following = place if more else None
        if len(found) > wanted.limit:
            found = found[: wanted.limit]
            following = found[-1]
        records = await read(wanted, [one.id for one in found])
        # One that was removed a moment ago, or has another state by now, is left out.
        return Page([records[one.id] for one in found if one.id in records], following)

    async def _read_documents(
        self, wanted: DocumentListRequest, ids: list[str]
    ) -> dict[str, DocumentRecord]:
        names = msgspec.json.encode([(wanted.tenant, one) for one in ids]).decode()
        statement = list_statements.listed_documents(wanted.states)
        found = await self._connection.fetchall(statement, {"names": names})
        return {one.document_id: one for one in map(rows.document_record, found)}

    async def _read_batches(
        self, wanted: BatchListRequest, ids: list[str]
    ) -> dict[str, BatchRecord]:
        named = {"tenant": wanted.tenant, "ids": msgspec.json.encode(ids).decode()}
        found = await self._connection.fetchall(list_statements.BATCHES_BY_ID, named)
        records = map(rows.batch_record, found)
        states = wanted.states
        return {one.batch_id: one for one in records if not states or one.progress.state in states}


def _begin(wanted: ListRequest) -> Place:
    """Return the place before the first item."""
    if wanted.order == "asc":
        return Place(
            rows.EARLIEST if wanted.since is None else rows.to_milliseconds(wanted.since), ""
        )
    # No id sorts before the empty text: the places of this millisecond come after it.
    until = rows.LATEST if wanted.until is None else rows.to_milliseconds(wanted.until)
    return Place(until + 1, "")
