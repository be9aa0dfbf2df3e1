"""Metrics of the bus: what waits in each lane, the log, the dead letters."""

import asyncio
from collections.abc import Callable, Sequence

from bus import streams
from bus.backlog import StreamSize, read_stream_size
from bus.connection import Connection
from ilios.cluster_status import read_lanes
from ilios.metrics.families import Family, gauge
from schemas.hosts import LaneState


async def bus_families(connection: Connection, applied: Callable[[], int]) -> list[Family]:
    """Return the families; ``applied`` is the sequence up to which the database has the log.

    :raises BusUnavailable: the bus does not answer.
    """
    lanes, log, dead = await asyncio.gather(
        read_lanes(connection),
        read_stream_size(connection, streams.EVENTS),
        read_stream_size(connection, streams.DEAD_LETTERS),
    )
    dead_letters = gauge("ilios_dead_letters", "Dead letters.", [({}, dead.messages)])
    return [*_lane_families(lanes), *_log_families(log, applied()), dead_letters]


def _lane_families(lanes: Sequence[LaneState]) -> list[Family]:
    labelled = [({"role": one.role, "lane": one.lane}, one) for one in lanes]
    counts = [
        ({**labels, "state": state}, number)
        for labels, one in labelled
        for state, number in (("waiting", one.waiting), ("delivered", one.unfinished))
    ]
    return [
        gauge("ilios_queue_events", "Events of a lane that have no outcome yet.", counts),
        gauge(
            "ilios_queue_oldest_age_seconds",
            "Age of the oldest of them, 0 without any.",
            [(labels, one.oldest_seconds or 0.0) for labels, one in labelled],
        ),
        gauge(
            "ilios_queue_paused",
            "Whether a lane is paused.",
            [(labels, one.paused_until is not None) for labels, one in labelled],
        ),
    ]


def _log_families(log: StreamSize, applied: int) -> list[Family]:
    families = [
        gauge("ilios_log_bytes", "Size of the log.", [({}, log.bytes)]),
        gauge("ilios_log_events", "Events on the log.", [({}, log.messages)]),
        gauge(
            "ilios_log_lag_events",
            "Events on the log behind the last that the database has.",
            [({}, max(0, log.last_sequence - applied) if applied else 0)],
        ),
    ]
    if log.max_bytes > 0:
        families.append(
            gauge("ilios_log_max_bytes", "Size that the log may have.", [({}, log.max_bytes)])
        )
    return families
