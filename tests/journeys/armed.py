"""``python -m tests.journeys.armed POINT HIT ...``: ``ilios``, killed at the HIT-th POINT."""

import os
import signal
import sys
from typing import cast

from bus import failpoints
from ilios.__main__ import main


def kill_at(hit: int) -> None:
    """Kill this process when it reaches the failpoint for the ``hit``-th time."""
    reached = 0

    def act() -> None:
        nonlocal reached
        reached += 1
        if reached == hit:
            os.kill(os.getpid(), signal.SIGKILL)

    failpoints.arm(cast("failpoints.Failpoint", sys.argv[1]), act)


if __name__ == "__main__":
    # Or half of the points would be reached in a process that is not armed.
    os.environ["ILIOS_EDGE_PROCESSES"] = "0"
    kill_at(int(sys.argv[2]))
    sys.exit(main(sys.argv[3:]))
