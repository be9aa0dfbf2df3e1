"""What was converted and what it cost: ``/api/usage``."""

from ilios.edge.operations.problems import AUTHENTICATING, merged
from ilios.edge.operations.table import JSON, Operation, Parameter, Response
from schemas.usage_replies import UsageBreakdown, UsageSummary

TAG = "Usage"

_MOMENT = "ISO 8601 with `Z` or an offset, or a date alone, which is"
_DATE = {"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}]}
_DATE_RANGE = (
    Parameter(
        name="startDate",
        description=f"Count from here on. {_MOMENT} the begin of that day in UTC.",
        schema=_DATE | {"examples": ["2026-01-01", "2026-01-01T00:00:00.000Z"]},
    ),
    Parameter(
        name="endDate",
        description=f"Count up to here, this moment included. {_MOMENT} the end of that day.",
        schema=_DATE | {"examples": ["2026-01-31", "2026-01-31T23:59:59.999Z"]},
    ),
)

SUMMARY = Operation(
    name="usageSummary",
    method="GET",
    path="/api/usage/summary",
    tag=TAG,
    summary="What was converted, and what it cost",
    description="Of the key that asks.",
    parameters=_DATE_RANGE,
    responses={
        200: Response(
            description="The sums.", content={JSON: UsageSummary}, headers=("Cache-Control",)
        )
    },
    problems=merged(AUTHENTICATING, {400: ("invalid_date",)}),
)

BREAKDOWN = Operation(
    name="usageBreakdown",
    method="GET",
    path="/api/usage/breakdown",
    tag=TAG,
    summary="The same, for each operation",
    description="Of the key that asks.",
    parameters=_DATE_RANGE,
    responses={
        200: Response(
            description="A line for each operation.",
            content={JSON: UsageBreakdown},
            headers=("Cache-Control",),
        )
    },
    problems=merged(AUTHENTICATING, {400: ("invalid_date",)}),
)

OPERATIONS = (SUMMARY, BREAKDOWN)
