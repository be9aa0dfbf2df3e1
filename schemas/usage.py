"""Usage as the database adds it up. Money is in micros, millionths of a US dollar."""

from msgspec import Struct


class Usage(Struct, frozen=True, kw_only=True):
    """How many operations there were, and their sums; ``total_micros`` is what they cost."""

    operations: int
    pages: int
    input_tokens: int
    output_tokens: int
    total_micros: int


class UsageTotal(Usage, frozen=True, kw_only=True):
    """The usage of a tenant, and how many different documents it was for."""

    documents: int


class OperationUsage(Usage, frozen=True, kw_only=True):
    """The share of one operation."""

    operation: str
