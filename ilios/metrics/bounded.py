"""Values of a label whose number has a bound."""

OTHER = "other"


class BoundedValues:
    """The first ``most`` values as they are, every later one as ``other``."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        """Return the value for the label."""
        if value in self._seen:
            return value
        if len(self._seen) >= self._most:
            return OTHER
        self._seen.add(value)
        return value
