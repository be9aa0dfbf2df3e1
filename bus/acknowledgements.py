"""Whether what is said is taken: the only sign that a server that answers can also write.

A server that has met a full disk answers every question and acknowledges nothing, and a question
of its own would not show it: it is each stream for itself that can no longer be written.
"""

import time


class Acknowledgements:
    """What became of the last publishes; shared by all connections of a process.

    ``unanswered`` counts the tries since the last that was answered in any way, ``full`` tells
    whether that answer was that there is no room.
    """

    def __init__(self) -> None:
        self.unanswered = 0
        self.full = False
        self._silent_since: float | None = None

    @property
    def silent_for(self) -> float:
        """For how many seconds there have been tries, and no answer to any of them."""
        return 0.0 if self._silent_since is None else time.monotonic() - self._silent_since

    def answered(self, *, full: bool = False) -> None:
        """Note an answer to a try."""
        self.unanswered, self.full, self._silent_since = 0, full, None

    def missed(self, began: float) -> None:
        """Note a try without an answer that began then, by the monotonic clock."""
        self.unanswered += 1
        if self._silent_since is None:
            self._silent_since = began

    def forget(self) -> None:
        """Begin anew: what was noted was about a server that is gone."""
        self.answered()
