"""Filters of lists."""

from msgspec import Struct

from schemas.lists import Order
from schemas.states import DocumentState

PAGE = 200
"""Documents of one answer."""


class DocumentFilter(Struct, frozen=True, kw_only=True):
    """What a document in a list has; times are ISO 8601 with a zone, or dates."""

    states: tuple[DocumentState, ...] = ()
    since: str | None = None
    until: str | None = None
    reference: str | None = None
    name: str | None = None
    batch: str | None = None
    order: Order = "desc"

    def query(self, limit: int, cursor: str | None) -> dict[str, str]:
        """Return the query of one part of the list."""
        given = {
            "state": ",".join(self.states),
            "since": self.since,
            "until": self.until,
            "reference": self.reference,
            "name": self.name,
            "batch": self.batch,
            "order": self.order,
            "limit": str(min(limit, PAGE)),
            "cursor": cursor,
        }
        return {name: value for name, value in given.items() if value}
