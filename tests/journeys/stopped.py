"""``python -m tests.journeys.stopped POINT ...``: ``ilios``, stopped when it reaches POINT first.

It goes on with a SIGCONT, as a machine that was suspended does.
"""

import os
import signal
import sys
from typing import cast

from bus import failpoints
from ilios.__main__ import main


def stop_at(point: failpoints.Failpoint) -> None:
    """Stop this process when it reaches a point for the first time."""
    reached = False

    def act() -> None:
        nonlocal reached
        if not reached:
            reached = True
            os.kill(os.getpid(), signal.SIGSTOP)

    failpoints.arm(point, act)


if __name__ == "__main__":
    stop_at(cast("failpoints.Failpoint", sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
