"""``python -m tests.journeys.armed POINT:HIT[,POINT:HIT...] ...``: ``ilios``, killed at a POINT.

It is killed when a point is reached for the HIT-th time. The name of the point is added to the file
in ``ARMED_RECORD``, if there is one.
"""

import os
import signal
import sys
from pathlib import Path
from typing import cast

from bus import failpoints
from ilios.__main__ import main

RECORD = "ARMED_RECORD"


def kill_at(point: str, hit: int) -> None:
    """Kill this process when it reaches the failpoint for the ``hit``-th time."""
    reached = 0

    def act() -> None:
        nonlocal reached
        reached += 1
        if reached == hit:
            if record := os.environ.get(RECORD):
                with Path(record).open("a") as file:
                    file.write(f"{point}\n")
            os.kill(os.getpid(), signal.SIGKILL)

    failpoints.arm(cast("failpoints.Failpoint", point), act)


if __name__ == "__main__":
    # Or half of the points would be reached in a process that is not armed.
    os.environ["ILIOS_EDGE_PROCESSES"] = "0"
    for armed in sys.argv[1].split(","):
        name, _, number = armed.partition(":")
        kill_at(name, int(number))
    sys.exit(main(sys.argv[2:]))
