"""Pauses between attempts that double."""


class Backoff:
    """Pauses in seconds: the first one, then twice the one before, up to the longest."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self.pause = first
        """The next pause."""

    def advance(self) -> float:
        """Return the next pause, and double the one after it."""
        pause = self.pause
        self.pause = min(2 * pause, self._longest)
        return pause

    def reset(self) -> None:
        """Begin with the first pause again."""
        self.pause = self._first
