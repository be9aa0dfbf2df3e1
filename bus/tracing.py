"""The trace a request belongs to (W3C Trace Context), for the events that are published for it."""

import re
from collections.abc import Sequence
from contextvars import ContextVar

HEADER = "traceparent"

# Version 00, or a later one of the same form; ids of zeros mean none.
_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def bind(values: Sequence[str]) -> None:
    """Have this task's events belong to the trace of a header; a malformed one is none."""
    valid = len(values) == 1 and _FORM.fullmatch(values[0])
    _current.set(values[0] if valid else None)


def trace_id() -> str | None:
    """Return the id of the trace of this task, for its log lines."""
    current = _current.get()
    return current.split("-", 2)[1] if current else None


def headers() -> dict[str, str]:
    """Return the header of an event that is published now."""
    current = _current.get()
    return {HEADER: current} if current else {}
