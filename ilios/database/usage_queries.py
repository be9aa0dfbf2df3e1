"""What the edge asks about usage and its cost. Every question names the tenant."""

from datetime import datetime

import aiosqlite

from ilios.database import rows, statements
from schemas.records import OperationUsage, UsageTotal

TimeRange = tuple[datetime | None, datetime | None]
"""The first and the last moment that count, to the millisecond; None leaves an end open."""


class SqliteUsageQueries:
    """Questions over a read-only connection; fits ``ilios.edge.context.UsageReads``."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def total(self, tenant: str, within: TimeRange = (None, None)) -> UsageTotal:
        """Return all usage of a tenant whose conversions ended in that time."""
        wanted = _parameters(tenant, within)
        (
            (documents, operations, pages, tokens_in, tokens_out, micros),
        ) = await self._connection.execute_fetchall(statements.USAGE_TOTAL, wanted)
        return UsageTotal(
            documents=documents,
            operations=operations,
            pages=pages,
            input_tokens=tokens_in,
            output_tokens=tokens_out,
            total_micros=micros,
        )

    async def by_operation(
        self, tenant: str, within: TimeRange = (None, None)
    ) -> list[OperationUsage]:
        """Return the same by operation, in the order of their names, without those unused."""
        found = await self._connection.execute_fetchall(
            statements.USAGE_BY_OPERATION, _parameters(tenant, within)
        )
        return [
            OperationUsage(
                operation=operation,
                operations=operations,
                pages=pages,
                input_tokens=tokens_in,
                output_tokens=tokens_out,
                total_micros=micros,
            )
            for operation, operations, pages, tokens_in, tokens_out, micros in found
        ]


def _parameters(tenant: str, within: TimeRange) -> dict[str, object]:
    first, last = within
    return {
        "tenant": tenant,
        "first": rows.EARLIEST if first is None else rows.to_milliseconds(first),
        "last": rows.LATEST if last is None else rows.to_milliseconds(last),
    }
