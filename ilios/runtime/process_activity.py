"""Whether a process that does not answer makes progress: a slow one must not be killed."""

import os
import time
from pathlib import Path
from typing import NamedTuple, Self

BUSY_SHARE = 0.02  # of a core; an idle or hung nats-server takes a tenth of that
_ON_DISK = "D"  # waits for a device, which takes no CPU

_TICKS = os.sysconf("SC_CLK_TCK")


class ProcessActivity(NamedTuple):
    """The CPU time and state of a process at one moment. Times are seconds."""

    at: float
    cpu: float
    waits_for_disk: bool

    @classmethod
    def of(cls, pid: int) -> Self:
        """Return the activity of a process; one that cannot be read (not Linux, or gone) has none.

        Format: proc(5), ``/proc/[pid]/stat``.
        """
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return cls(time.monotonic(), 0.0, waits_for_disk=False)
        cpu = (int(fields[11]) + int(fields[12])) / _TICKS
        return cls(time.monotonic(), cpu, waits_for_disk=fields[0] == _ON_DISK)

    def progressed_since(self, earlier: "ProcessActivity") -> bool:
        """Whether the process made progress since an earlier moment."""
        return self.waits_for_disk or self.cpu - earlier.cpu > BUSY_SHARE * (self.at - earlier.at)
