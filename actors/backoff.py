"""Pauses that grow with each attempt, up to a limit."""

from msgspec import Struct

_MAX_EXPONENT = 300  # of factors up to 10: beyond it a float would overflow


class Backoff(Struct, frozen=True, kw_only=True):
    """Exponential delays in seconds: from ``first``, by ``factor`` each time, to ``longest``."""

    first: float
    factor: float = 2.0
    longest: float

    def pause(self, attempts: int) -> float:
        """Return the seconds to wait when so many attempts were made before this one."""
        return min(self.first * self.factor ** min(attempts, _MAX_EXPONENT), self.longest)

    def total(self, attempts: int) -> float:
        """Return how long the pauses of the first so many attempts are together."""
        return sum(map(self.pause, range(attempts)))
