"""``python -m tests.journeys.armed POINT HIT``: the service, to be killed at a failpoint's HIT."""

import os
import signal
import sys
from typing import cast

from bus import failpoints
from ilios.__main__ import main


def kill_at(hit: int) -> None:
    """Count the times the point is reached; end the process at the ``hit``-th."""
    reached = 0

    def act() -> None:
        nonlocal reached
        reached += 1
        if reached == hit:
            os.kill(os.getpid(), signal.SIGKILL)

    failpoints.arm(cast("failpoints.Failpoint", sys.argv[1]), act)


if __name__ == "__main__":
    kill_at(int(sys.argv[2]))
    sys.exit(main(sys.argv[3:]))
