"""Deadlines as requests have them: a time, or seconds from now."""

import re
from datetime import UTC, datetime, timedelta

from ilios.edge.errors import HttpProblem
from schemas.documents import is_implausible
from schemas.requests import DEADLINE_EXPECTED, MAX_DEADLINE_SECONDS

_SECONDS = re.compile("[0-9]{1,9}")
# The offset's plus arrives as a blank where the client did not encode it.
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[-+ ]\d\d:\d\d)", re.ASCII
)


def absolute_deadline(given: str | float | None, now: datetime) -> datetime | None:
    """Return the deadline of a request that came ``now``.

    :raises HttpProblem: it is none, or does not lie ahead (400).
    """
    if given is None:
        return None
    try:
        found = _parse(str(int(given)) if _is_whole(given) else str(given), now)
    except (ValueError, OverflowError):
        raise _invalid(f"deadline must be {DEADLINE_EXPECTED}") from None
    require_ahead(found, now)
    return found


def require_ahead(deadline: datetime, now: datetime) -> None:
    """Let pass a deadline that lies ahead; without a zone it is UTC.

    :raises HttpProblem: it does not (400).
    """
    aware = deadline if deadline.tzinfo else deadline.replace(tzinfo=UTC)
    if aware <= now or is_implausible(aware):
        raise _invalid("deadline must lie ahead, before the year 2200")


def _is_whole(given: str | float) -> bool:
    return isinstance(given, float) and given.is_integer()


def _parse(text: str, now: datetime) -> datetime:
    if _SECONDS.fullmatch(text):
        if int(text) > MAX_DEADLINE_SECONDS:
            raise ValueError(text)
        return now + timedelta(seconds=int(text))
    if not _INSTANT.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text.upper().replace(" ", "+")).astimezone(UTC)


def _invalid(error: str) -> HttpProblem:
    return HttpProblem(400, "invalid_deadline", error)
