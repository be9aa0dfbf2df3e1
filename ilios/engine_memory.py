"""How much memory engine processes may hold, so that all of them fit into what there is."""

from collections.abc import Mapping

from ilios import machine_memory
from ilios.cores import cores

MIB = 1024 * 1024
SERVICE_BYTES = 256 * MIB
"""What the service and its bus need beside the engine processes."""

RECOGNISING_BYTES = 1024 * MIB
"""What an engine process needs to recognise the text of large pages: less is of little use."""

LEAST_BYTES = 128 * MIB
"""Without this an engine process does not even come up."""

MEMORY, COUNT = "ILIOS_ENGINE_MEMORY_MB", "WORKER_COUNT"


def fitting_processes(there: int | None = None) -> int:
    """Return how many engine processes to run: one for each core, if they fit."""
    return max(1, min(cores(), _room(there) // RECOGNISING_BYTES))


def fitting_bytes(wanted: int, processes: int, there: int | None = None) -> int:
    """Return what each of so many processes, and of one more, may hold; at most what is wanted.

    :param there: bytes of memory there are; by default what this machine or cgroup has.
    """
    room = _room(there)
    share = max(room // (processes + 1), min(RECOGNISING_BYTES, room), LEAST_BYTES)
    return min(wanted, share)


def warnings(
    environ: Mapping[str, str], wanted: int, processes: int, there: int | None = None
) -> list[str]:
    """Return a sentence for each setting that promises more memory than there is."""
    room = _room(there)
    given = fitting_bytes(wanted, processes, there)
    found = []
    if environ.get(MEMORY, "").strip() and given < wanted:
        found.append(
            f"{MEMORY}: {wanted // MIB} is more than there is for each of {processes} engine "
            f"processes and one more; each may hold {given // MIB} MiB of the {room // MIB} MiB "
            "that are left beside the service"
        )
    if processes > 1 and processes * RECOGNISING_BYTES > room:
        found.append(
            f"{COUNT}: {processes} engine processes that recognise text at the same time may need "
            f"more than the {room // MIB} MiB that are left beside the service; "
            f"{max(1, room // RECOGNISING_BYTES)} would fit, or give it more memory"
        )
    elif room < RECOGNISING_BYTES:
        found.append(
            f"there are {room // MIB} MiB left beside the service; an engine process may need "
            f"{RECOGNISING_BYTES // MIB} MiB to recognise text, and ends documents that need more "
            "than there is as out_of_memory"
        )
    return found


def _room(there: int | None) -> int:
    return max(0, (machine_memory.limit_bytes() if there is None else there) - SERVICE_BYTES)
