"""Standing faults: problems that background checks report, until the same check resolves them.

Health reports every fault. A blocking one means that answers could be wrong or nothing could be
stored: while it stands, the edge answers 503 to everything but health checks.
"""

from collections.abc import Callable, Mapping

import structlog
from msgspec import Struct

log = structlog.get_logger("faults")


class Fault(Struct, frozen=True):
    """One fault: a sentence for the operator, and whether requests are refused meanwhile."""

    problem: str
    blocking: bool = False


class Faults:
    """The faults that stand, at most one per source (the name of the check that reports it)."""

    def __init__(self) -> None:
        self._standing: dict[str, Fault] = {}
        self._on_change: list[Callable[[], None]] = []

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` at once whenever a fault is reported, changed or resolved."""
        self._on_change.append(callback)

    def report(self, source: str, problem: str, *, blocking: bool = False) -> None:
        """Set the fault of ``source``; one that only changes its sentence is logged once."""
        if source not in self._standing:
            log.error("fault", source=source, problem=problem, blocking=blocking)
        fault = Fault(problem, blocking)
        if self._standing.get(source) != fault:
            self._standing[source] = fault
            self._changed()

    def resolve(self, source: str) -> None:
        """Clear the fault of ``source``, if there is one."""
        if self._standing.pop(source, None) is not None:
            log.warning("fault resolved", source=source)
            self._changed()

    @property
    def standing(self) -> Mapping[str, Fault]:
        """The faults by source."""
        return self._standing

    @property
    def problems(self) -> list[str]:
        """One sentence per fault, each beginning with its source."""
        return [f"{source}: {fault.problem}" for source, fault in self.standing.items()]

    @property
    def blocking(self) -> str | None:
        """The sentence of the first blocking fault, or None."""
        return self.first_blocking()

    @property
    def storage(self) -> str | None:
        """The sentence of the first blocking fault that puts in doubt what was stored, or None."""
        return self.blocking

    def first_blocking(self, *, except_of: str | None = None) -> str | None:
        """Return the sentence of the first blocking fault of other sources than this one."""
        blocking = (
            fault.problem
            for source, fault in self.standing.items()
            if fault.blocking and source != except_of
        )
        return next(blocking, None)

    def _changed(self) -> None:
        for callback in self._on_change:
            callback()
