"""Reports of the processes of a service about themselves, for operators."""

from msgspec import Struct

from .replies import Instant


class RoleState(Struct, frozen=True, kw_only=True):
    """A role of a process: the events in hand, and why it takes no more, if it does not."""

    in_hand: int = 0
    taking: bool = True
    reasons: list[str] = []


class EngineState(Struct, frozen=True, kw_only=True):
    """The processes of the local engine: those alive, how many may be, and recent losses."""

    processes: int = 0
    limit: int = 0
    lost_last_minute: int = 0


class HostState(Struct, frozen=True, kw_only=True):
    """A process of a service: a core, or a worker.

    ``drained`` is true once an operator has drained the host; it is empty when no role has
    anything in hand any more. ``problems`` are sentences for the operator.
    """

    host: str
    kind: str
    version: str
    pid: int
    started: Instant
    roles: dict[str, RoleState] = {}
    engine: EngineState | None = None
    drained: bool = False
    problems: list[str] = []


class LaneState(Struct, frozen=True, kw_only=True):
    """What waits for a role in one lane of priorities.

    ``waiting`` was not delivered yet, ``unfinished`` was delivered: it is in work, or waits for
    another attempt. ``oldest_seconds`` is the age of the oldest of both.
    """

    role: str
    lane: str
    waiting: int = 0
    unfinished: int = 0
    oldest_seconds: float | None = None
    paused_until: Instant | None = None


class ServiceState(Struct, frozen=True, kw_only=True):
    """A service over all its hosts. ``drained`` names hosts that take no work, running or not."""

    at: Instant
    hosts: list[HostState]
    lanes: list[LaneState]
    drained: list[str] = []
