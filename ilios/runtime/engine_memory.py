"""The number of engine processes and their memory limits, so that all fit into memory."""

from collections.abc import Mapping

from ilios.runtime import machine

MIB = 1024 * 1024
SERVICE_BYTES = 256 * MIB
"""Memory of the service and its bus."""

OCR_PROCESS_BYTES = 1024 * MIB
"""Memory of an engine process that recognises the text of large pages."""

MIN_PROCESS_BYTES = 128 * MIB
"""An engine process does not start with less."""

MEMORY_VARIABLE, COUNT_VARIABLE = "ILIOS_ENGINE_MEMORY_MB", "WORKER_COUNT"


def fitting_processes(total_bytes: int | None = None) -> int:
    """Return the default number of engine processes: one for each core, if they fit."""
    return max(1, min(machine.cores(), _available_bytes(total_bytes) // OCR_PROCESS_BYTES))


def bytes_per_process(wanted: int, processes: int, total_bytes: int | None = None) -> int:
    """Return the memory limit of each of so many processes and one more; at most ``wanted``.

    :param total_bytes: memory of the machine or cgroup; by default read from it.
    """
    room = _available_bytes(total_bytes)
    share = max(room // (processes + 1), min(OCR_PROCESS_BYTES, room), MIN_PROCESS_BYTES)
    return min(wanted, share)


def warnings(
    environ: Mapping[str, str], wanted: int, processes: int, total_bytes: int | None = None
) -> list[str]:
    """Return a warning for each setting that needs more memory than there is."""
    room = _available_bytes(total_bytes)
    given = bytes_per_process(wanted, processes, total_bytes)
    found = []
    if environ.get(MEMORY_VARIABLE, "").strip() and given < wanted:
        found.append(
            f"{MEMORY_VARIABLE}: {wanted // MIB} is more than there is for each of {processes} "
            "engine "
            f"processes and one more; each may hold {given // MIB} MiB of the {room // MIB} MiB "
            "that are left beside the service"
        )
    if processes > 1 and processes * OCR_PROCESS_BYTES > room:
        found.append(
            f"{COUNT_VARIABLE}: {processes} engine processes that recognise text at the same time "
            f"may need more than the {room // MIB} MiB that are left beside the service; "
            f"{max(1, room // OCR_PROCESS_BYTES)} would fit, or give it more memory"
        )
    elif room < OCR_PROCESS_BYTES:
        found.append(
            f"there are {room // MIB} MiB left beside the service; an engine process may need "
            f"{OCR_PROCESS_BYTES // MIB} MiB to recognise text, and ends documents that need more "
            "than there is as out_of_memory"
        )
    return found


def _available_bytes(total_bytes: int | None) -> int:
    return max(0, (machine.limit_bytes() if total_bytes is None else total_bytes) - SERVICE_BYTES)
