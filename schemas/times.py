"""What is believed of the times publishers write into their events: their clocks are their own."""

from datetime import UTC, datetime, timedelta

MAX_CLOCK_SKEW = timedelta(days=1)
"""Between a publisher's clock and the log's; more is a mistake."""
MIN_YEAR, MAX_YEAR = 1970, 2199
"""A time outside of them is no time at which anything was submitted."""


def is_implausible(time: datetime) -> bool:
    """Whether it lies in a year no clock shows."""
    return not MIN_YEAR <= time.year <= MAX_YEAR


def reject_implausible(name: str, time: datetime | None) -> None:
    """Let a time pass that may have been meant.

    :raises ValueError: it lies in a year no clock shows.
    """
    if time is not None and is_implausible(time):
        raise ValueError(
            f"{name} lies in the year {time.year}; leave it out, or give a time in the years "
            f"{MIN_YEAR} to {MAX_YEAR}"
        )


def effective_time(time: datetime | None, stored_at: datetime) -> datetime:
    """Return when something was submitted that the log took at ``stored_at``.

    That is what the publisher writes, as long as it is near; without a zone it counts as UTC.
    """
    if time is None:
        return stored_at
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return aware if abs(aware - stored_at) < MAX_CLOCK_SKEW else stored_at
