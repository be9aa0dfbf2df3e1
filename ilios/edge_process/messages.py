"""Messages between the core and the edge process, both of the same version."""

import msgspec
from msgspec import Struct

from bus.epoch_records import Record
from bus.target import Target
from ilios.integrity.faults import Fault
from ilios.integrity.file_watch import WatchedPath
from ilios.metrics.families import Family
from schemas.service_replies import HealthReport


class State(Struct, frozen=True, tag=True):
    """What blocks the service: its standing faults, and damage to the database."""

    faults: dict[str, Fault]
    damage: str | None


class Start(Struct, frozen=True, tag=True):
    """What the edge is composed from.

    ``settings`` are encoded by ``ilios.settings.transfer``. ``listening`` are inherited file
    descriptors; ``log_store`` is the log directory of the embedded server; ``epoch`` is that of
    the core on an external bus.
    """

    settings: bytes
    bus: Target
    log_store: str | None
    listening: list[int]
    watched: list[WatchedPath]
    state: State
    epoch: Record | None = None


class HealthAnswered(Struct, frozen=True, tag=True):
    """The health of the parts in the core."""

    number: int
    report: HealthReport


class MetricsAnswered(Struct, frozen=True, tag=True):
    """Metrics of the parts in the core; None if they cannot be collected."""

    number: int
    families: list[Family] | None


class Ready(Struct, frozen=True, tag=True):
    """The edge accepts connections."""


class HealthAsked(Struct, frozen=True, tag=True):
    """A question that is answered with the same number."""

    number: int


class MetricsAsked(Struct, frozen=True, tag=True):
    """A question for the metrics of a part, which is answered with the same number."""

    number: int
    part: str


class PasswordSealed(Struct, frozen=True, tag=True):
    """A password was stored, which is to be deleted at the end of its document."""

    tenant: str
    document_id: str


class DamageMet(Struct, frozen=True, tag=True):
    """The database turned out to be damaged."""

    reason: str


class PublishesAnswered(Struct, frozen=True, tag=True):
    """Latencies of events that were stored, in seconds, and whether the last found a full log."""

    latencies: list[float]
    full: bool = False


class PublishTimedOut(Struct, frozen=True, tag=True):
    """A publish without a reply, by the monotonic time of its start, which processes share."""

    started_at: float


class PublishRefused(Struct, frozen=True, tag=True):
    """A publish that no server takes: the log has no leader."""


FromCore = Start | State | HealthAnswered | MetricsAnswered
FromEdge = (
    Ready
    | HealthAsked
    | MetricsAsked
    | PasswordSealed
    | DamageMet
    | PublishesAnswered
    | PublishTimedOut
    | PublishRefused
)


_encoder = msgspec.msgpack.Encoder()
from_core: msgspec.msgpack.Decoder[FromCore] = msgspec.msgpack.Decoder(FromCore)
from_edge: msgspec.msgpack.Decoder[FromEdge] = msgspec.msgpack.Decoder(FromEdge)


def encode(message: FromCore | FromEdge) -> bytes:
    """Return a message as bytes."""
    return _encoder.encode(message)
