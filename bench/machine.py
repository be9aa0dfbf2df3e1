"""How fast the machine is at the moment: shared ones change by half from minute to minute."""

import time

ROUNDS = 2_000_000


def reference_loop_ms() -> float:
    """Return the CPU milliseconds of a fixed loop of plain Python; compare only with each other."""
    began = time.process_time()
    total = 0
    for number in range(ROUNDS):
        total += number & 7
    return 1000 * (time.process_time() - began)
