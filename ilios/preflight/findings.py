"""What a try has found."""

from typing import Literal

from msgspec import Struct

Level = Literal["ok", "warning", "problem"]


class Finding(Struct, frozen=True):
    """One sentence about one setting. A problem keeps the service from starting or from working."""

    level: Level
    text: str


def ok(text: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding("ok", text)


def warning(text: str) -> Finding:
    """Return a finding that somebody should look at."""
    return Finding("warning", text)


def problem(text: str) -> Finding:
    """Return a finding that has to be dealt with before the service can work."""
    return Finding("problem", text)
