"""What was converted and what it cost: ``/api/usage``. Both take ``startDate`` and ``endDate``."""

import re
from datetime import UTC, date, datetime, time, timedelta

from aiohttp import web

from ilios.edge.context import EDGE, TENANT
from ilios.edge.errors import HttpProblem
from ilios.edge.responses import json_response
from schemas.replies import format_instant
from schemas.usage_replies import UsageBreakdown, UsageLine, UsageSummary

EXAMPLE = "2026-01-15T10:30:00Z"
NO_STORE = {"Cache-Control": "private, no-store"}

_MICROS_PER_CENT = 10_000
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
# The offset's plus arrives as a blank where the client did not encode it.
_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(?:[Zz]|([-+ ])(\d\d):?(\d\d))",
    re.ASCII,
)
_LAST_MILLISECOND = timedelta(days=1) - timedelta(milliseconds=1)


async def summary(request: web.Request) -> web.StreamResponse:
    """``GET /api/usage/summary``: the sums over all operations."""
    start, end = requested_range(request)
    total = await request.app[EDGE].usage.total(request[TENANT], (start, end))
    body = UsageSummary(
        total_documents=total.documents,
        total_operations=total.operations,
        total_pages=total.pages,
        total_input_tokens=total.input_tokens,
        total_output_tokens=total.output_tokens,
        total_cost_cents=cents(total.total_micros),
        total_cost_micros=total.total_micros,
        total_cost_usd=dollars(total.total_micros),
        start_date=None if start is None else format_instant(start),
        end_date=None if end is None else format_instant(end),
    )
    return json_response(body, headers=NO_STORE)


async def breakdown(request: web.Request) -> web.StreamResponse:
    """``GET /api/usage/breakdown``: the sums for each operation."""
    found = await request.app[EDGE].usage.by_operation(request[TENANT], requested_range(request))
    lines = [
        UsageLine(
            operation=usage.operation,
            count=usage.operations,
            total_pages=usage.pages,
            total_input_tokens=usage.input_tokens,
            total_output_tokens=usage.output_tokens,
            total_cost_cents=cents(usage.total_micros),
            total_cost_micros=usage.total_micros,
            total_cost_usd=dollars(usage.total_micros),
        )
        for usage in found
    ]
    return json_response(UsageBreakdown(breakdown=lines), headers=NO_STORE)


def cents(micros: int) -> int:
    """Return whole cents, rounded half up: to be shown, not to be added up."""
    return (micros + _MICROS_PER_CENT // 2) // _MICROS_PER_CENT


def dollars(micros: int) -> str:
    """Return the same as ``1.30``."""
    whole, rest = divmod(cents(micros), 100)
    return f"{whole}.{rest:02d}"


def requested_range(request: web.Request) -> tuple[datetime | None, datetime | None]:
    """Return the first and the last moment asked for, in UTC; None where that end is open.

    :raises Refused: one of them is no date, or the first comes after the last.
    """
    start = _parse_date(request, "startDate", timedelta(0))
    end = _parse_date(request, "endDate", _LAST_MILLISECOND)
    if start is not None and end is not None and start > end:
        raise _invalid("startDate must not be later than endDate")
    return start, end


def _parse_date(request: web.Request, name: str, day_offset: timedelta) -> datetime | None:
    """Read a parameter; a day stands for the moment that lies ``into_day``."""
    given = request.query.getall(name, [])
    if len(given) > 1:
        raise _invalid(f"{name} is given {len(given)} times; once is enough")
    if not given:
        return None
    try:
        return _parse_moment(given[0], day_offset)
    except (ValueError, OverflowError):  # no such day, or one outside the years 1 to 9999 in UTC
        raise _invalid(
            f"{name} must be a date, as {EXAMPLE[:10]}, or a time with Z or an offset, as {EXAMPLE}"
        ) from None


def _parse_moment(text: str, day_offset: timedelta) -> datetime:
    if _DAY.fullmatch(text):
        return datetime.combine(date.fromisoformat(text), time(tzinfo=UTC)) + day_offset
    parts = _INSTANT.fullmatch(text)
    if parts is None:
        raise ValueError(text)
    local, sign, hours, minutes = parts.groups()
    offset = f"{'-' if sign == '-' else '+'}{hours}:{minutes}" if sign else "+00:00"
    found = datetime.fromisoformat(local.upper() + offset).astimezone(UTC)
    # What is recorded is no finer: a moment within a millisecond means that millisecond.
    return found.replace(microsecond=found.microsecond // 1000 * 1000)


def _invalid(error: str) -> HttpProblem:
    return HttpProblem(400, "invalid_date", error)
