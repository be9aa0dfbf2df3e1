"""The result of one check."""

from typing import Literal

from msgspec import Struct

Level = Literal["ok", "warning", "problem"]


class Finding(Struct, frozen=True):
    """A sentence about a setting. A problem prevents the service from starting or from working."""

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
