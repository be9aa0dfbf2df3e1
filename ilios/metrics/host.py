"""Metrics of the work of a host: its roles, its engine processes, its remote engines."""

from collections.abc import Iterator

from ilios.engine_composition import Engines
from ilios.metrics.families import Family, counter, gauge
from ilios.metrics.processes import resident_bytes
from ilios.worker_composition import Intakes


def host_families(intakes: Intakes, engines: Engines | None) -> Iterator[Family]:
    """Yield the families of a host; ``engines`` are missing where nothing is converted."""
    roles = [({"role": role}, intake) for role, intake in intakes.items()]
    yield counter(
        "ilios_deliveries",
        "Deliveries of events to a role.",
        [(labels, intake.deliveries) for labels, intake in roles],
    )
    yield counter(
        "ilios_redeliveries",
        "Deliveries of events that had been delivered before.",
        [(labels, intake.redeliveries) for labels, intake in roles],
    )
    yield gauge(
        "ilios_events_in_work",
        "Events that a role works on.",
        [(labels, intake.in_hand) for labels, intake in roles],
    )
    yield gauge(
        "ilios_role_takes_work",
        "Whether a role takes events.",
        [(labels, intake.is_open) for labels, intake in roles],
    )
    if engines is not None:
        yield from _engine_families(engines)


def _engine_families(engines: Engines) -> Iterator[Family]:
    if (state := engines.state()) is not None:
        yield gauge("ilios_engine_processes", "Engine processes.", [({}, state.processes)])
        yield gauge(
            "ilios_engine_processes_limit", "Most engine processes as a rule.", [({}, state.limit)]
        )
        yield counter(
            "ilios_engine_process_losses",
            "Engine processes that ended untimely.",
            [({}, engines.lost())],
        )
        memory = resident_bytes(engines.processes())
        if memory is not None:
            yield gauge(
                "ilios_engine_resident_memory_bytes", "Memory of engine processes.", [({}, memory)]
            )
    circuits = engines.open_circuits()
    if circuits:
        yield gauge(
            "ilios_engine_circuit_open",
            "Whether the circuit breaker of a remote engine is open.",
            [({"engine": engine}, is_open) for engine, is_open in circuits.items()],
        )
