"""Usage: sums of conversions and their costs between two dates."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from aiohttp import web
from msgspec import Meta, Struct

from ilios.edge.context import EDGE, TENANT, Edge
from ilios.edge.errors import AUTHENTICATING, HttpProblem
from ilios.edge.operation import JSON, Response, operation
from ilios.edge.responses import Answer, answer_response
from schemas.replies import format_instant
from schemas.usage_replies import UsageBreakdown, UsageLine, UsageSummary

Range = tuple[datetime | None, datetime | None]
"""The first and the last moment, in UTC; None where that end is open."""

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


TAG = "Usage"

_MOMENT = "ISO 8601 with `Z` or an offset, or a date alone, which is"
_DATE = {"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}]}


class DateRange(Struct, frozen=True, rename="camel"):
    """The query of usage."""

    start_date: Annotated[
        str | None,
        Meta(
            description=f"Count from here on. {_MOMENT} the begin of that day in UTC.",
            extra={"code": "invalid_date"},
            extra_json_schema=_DATE | {"examples": ["2026-01-01", "2026-01-01T00:00:00.000Z"]},
        ),
    ] = None
    end_date: Annotated[
        str | None,
        Meta(
            description=f"Count up to here, this moment included. {_MOMENT} the end of that day.",
            extra={"code": "invalid_date"},
            extra_json_schema=_DATE | {"examples": ["2026-01-31", "2026-01-31T23:59:59.999Z"]},
        ),
    ] = None


@operation(
    "GET",
    "/api/usage/summary",
    name="usageSummary",
    tag=TAG,
    summary="What was converted, and what it cost",
    description="Of the request's API key.",
    query=DateRange,
    responses={
        200: Response(
            description="The sums.", content={JSON: UsageSummary}, headers=("Cache-Control",)
        )
    },
    problems=(AUTHENTICATING,),
)
async def summary(request: web.Request) -> web.StreamResponse:
    """Answer with the sums over all operations."""
    within = requested_range(request)
    return answer_response(await summary_answer(request.app[EDGE], request[TENANT], within))


async def summary_answer(edge: Edge, tenant: str, within: Range) -> Answer:
    """Return the sums over all operations."""
    start, end = within
    total = await edge.usage.total(tenant, within)
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
    return Answer(200, body, NO_STORE)


@operation(
    "GET",
    "/api/usage/breakdown",
    name="usageBreakdown",
    tag=TAG,
    summary="The same, for each operation",
    description="Of the request's API key.",
    query=DateRange,
    responses={
        200: Response(
            description="A line for each operation.",
            content={JSON: UsageBreakdown},
            headers=("Cache-Control",),
        )
    },
    problems=(AUTHENTICATING,),
)
async def breakdown(request: web.Request) -> web.StreamResponse:
    """Answer with the sums for each operation."""
    within = requested_range(request)
    return answer_response(await breakdown_answer(request.app[EDGE], request[TENANT], within))


async def breakdown_answer(edge: Edge, tenant: str, within: Range) -> Answer:
    """Return the sums for each operation."""
    found = await edge.usage.by_operation(tenant, within)
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
    return Answer(200, UsageBreakdown(breakdown=lines), NO_STORE)


def cents(micros: int) -> int:
    """Return whole cents, rounded half up: for display, never for sums."""
    return (micros + _MICROS_PER_CENT // 2) // _MICROS_PER_CENT


def dollars(micros: int) -> str:
    """Return dollars and cents, such as ``1.30``."""
    whole, rest = divmod(cents(micros), 100)
    return f"{whole}.{rest:02d}"


def requested_range(request: web.Request) -> Range:
    """Return the range of the query. Errors as ``parse_range``, or a date is given twice."""
    return parse_range(_single(request, "startDate"), _single(request, "endDate"))


def parse_range(
    start_text: str | None, end_text: str | None, names: tuple[str, str] = ("startDate", "endDate")
) -> Range:
    """Return the first and the last moment requested.

    :raises HttpProblem: one of them is no date, or the first comes after the last.
    """
    start = _parse_date(names[0], start_text, timedelta(0))
    end = _parse_date(names[1], end_text, _LAST_MILLISECOND)
    if start is not None and end is not None and start > end:
        raise _invalid(f"{names[0]} must not be later than {names[1]}")
    return start, end


def _single(request: web.Request, name: str) -> str | None:
    given = request.query.getall(name, [])
    if len(given) > 1:
        raise _invalid(f"{name} is given {len(given)} times; once is enough")
    return given[0] if given else None


def _parse_date(name: str, text: str | None, day_offset: timedelta) -> datetime | None:
    """Parse a date; a day stands for its begin plus ``day_offset``."""
    if text is None:
        return None
    try:
        return _parse_moment(text, day_offset)
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
    # Usage is recorded in milliseconds: a moment within one means that millisecond.
    return found.replace(microsecond=found.microsecond // 1000 * 1000)


def _invalid(error: str) -> HttpProblem:
    return HttpProblem(400, "invalid_date", error)
