"""Replies about usage and its cost.

Costs include the margin. ``totalCostMicros`` is exact, in millionths of a US dollar; cents and
dollars are rounded half up from it, once, for display.
"""

from msgspec import Struct, field

from .replies import Instant


class UsageSummary(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Number and cost of conversions.

    ``startDate`` and ``endDate`` are the range that was asked for, both ends included; left out
    where it is open.
    """

    total_documents: int
    total_operations: int
    total_pages: int
    total_input_tokens: int
    total_output_tokens: int
    total_cost_cents: int
    total_cost_micros: int
    total_cost_usd: str = field(name="totalCostUSD")
    start_date: Instant | None = None
    end_date: Instant | None = None


class UsageLine(Struct, frozen=True, kw_only=True, rename="camel"):
    """The share of one operation: ``convert``, or ``convert-immediate``."""

    operation: str
    count: int
    total_pages: int
    total_input_tokens: int
    total_output_tokens: int
    total_cost_cents: int
    total_cost_micros: int
    total_cost_usd: str = field(name="totalCostUSD")


class UsageBreakdown(Struct, frozen=True, kw_only=True, rename="camel"):
    """Usage by operation, in the order of their names; an operation without usage is left out."""

    breakdown: list[UsageLine]
