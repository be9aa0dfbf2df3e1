"""Checks of the times that publishers write into events: their clocks may be wrong."""

from datetime import UTC, datetime, timedelta

MAX_CLOCK_SKEW = timedelta(days=1)
"""Between the clock of a publisher and that of the log; more is a mistake."""
MIN_YEAR, MAX_YEAR = 1970, 2199
"""Years in which a submission can have been made."""


def is_implausible(time: datetime) -> bool:
    """Whether a time lies outside the years in which a submission can have been made."""
    return not MIN_YEAR <= time.year <= MAX_YEAR


def reject_implausible(name: str, time: datetime | None) -> None:
    """Raise for an implausible time of the member ``name``.

    :raises ValueError: with a sentence for the publisher.
    """
    if time is not None and is_implausible(time):
        raise ValueError(
            f"{name} is in the year {time.year}; leave it out, or give a time in the years "
            f"{MIN_YEAR} to {MAX_YEAR}"
        )


def effective_time(time: datetime | None, stored_at: datetime) -> datetime:
    """Return when an event that the log stored at ``stored_at`` was submitted.

    This is the time of the publisher if it is within ``MAX_CLOCK_SKEW``; without a zone it is UTC.
    """
    if time is None:
        return stored_at
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return aware if abs(aware - stored_at) < MAX_CLOCK_SKEW else stored_at
