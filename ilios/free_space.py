"""Room on the volumes the service writes to, and who still gets it.

Below a reserve nothing new is taken in: what is left is for finishing what was accepted. The
system is asked so often that health and submissions agree; between, what is taken in is counted.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Self

import structlog

from actors.ports import StorageFull

ASKED_EVERY = 0.02  # seconds
RESERVED_FILES = 1000  # files a volume must have room for, where their number is limited at all
BLOBS = "blobs"
"""The place where what clients send goes."""
COPIES = "copies of blobs"
"""The place where blobs are lent from that lie elsewhere."""

_MIB = 1024 * 1024

log = structlog.get_logger("volumes")


class Volume(NamedTuple):
    """What the system says of the volume a directory lies on. ``files`` is None: no limit."""

    device: int
    free: int
    files: int | None

    @classmethod
    def of(cls, directory: Path) -> Self | None:
        """Ask about a directory; None where it cannot be asked about, which others complain of."""
        try:
            device, found = directory.stat().st_dev, os.statvfs(directory)
        except OSError:
            return None
        # Of those who are not root: what is kept for root is no room for a service.
        files = found.f_favail if found.f_files else None
        return cls(device, found.f_bavail * found.f_frsize, files)


class Shortage(NamedTuple):
    """A volume without room for more, by what lies there, and why."""

    places: tuple[str, ...]
    reason: str


class FreeSpace:
    """Lets documents in while there is room; fits ``ilios.edge.keys.Room``. Sizes are bytes.

    ``places`` are the directories that are written to, by what they are for. Several may lie on
    one volume.
    """

    def __init__(
        self,
        places: Mapping[str, Path],
        reserve: int,
        ask: Callable[[Path], Volume | None] = Volume.of,
    ) -> None:
        self._places = dict(places)
        self._reserve = reserve
        self._ask = ask
        self._asked_at = -ASKED_EVERY
        self._taken = 0  # since then, on the volume of the blobs
        self._found: dict[tuple[str, ...], Volume] = {}
        self._told: set[tuple[str, ...]] = set()

    @property
    def shortages(self) -> list[Shortage]:
        """Every volume on which less than the reserve is left."""
        self._look()
        return list(self._short_of(0))

    def refuse(self, size: int = 0) -> None:
        """Let pass what is yet to be taken in, ``size`` bytes of it for the blobs.

        :raises StorageFull: it would leave less than the reserve, or less is left as it is.
        """
        self._look()
        self._refuse_short(size)

    def take(self, size: int) -> None:
        """Count what is being taken in. Errors as ``refuse``."""
        self._look()  # first: what the system is asked after this may not show it yet
        self._taken += size
        self._refuse_short(0)

    def _refuse_short(self, size: int) -> None:
        for shortage in self._short_of(size):
            raise StorageFull(shortage.reason)

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._asked_at < ASKED_EVERY:
            return
        self._asked_at, self._taken = now, 0
        by_device: dict[int, tuple[tuple[str, ...], Volume]] = {}
        for place, directory in self._places.items():
            if (volume := self._ask(directory)) is not None:
                others, _ = by_device.get(volume.device, ((), volume))
                by_device[volume.device] = ((*others, place), volume)
        self._found = dict(by_device.values())
        self._tell()

    def _tell(self) -> None:
        """Log what has changed, and not each request it costs."""
        short = {shortage.places: shortage.reason for shortage in self._short_of(0)}
        for places in short.keys() - self._told:
            log.error(
                "too little room, submissions are refused",
                places=places,
                directory=str(self._places[places[0]]),
                reason=short[places],
            )
        for places in self._told - short.keys():
            log.warning("there is room again", places=places)
        self._told = set(short)

    def _short_of(self, size: int) -> Iterator[Shortage]:
        for places, volume in self._found.items():
            coming = self._taken + size if BLOBS in places else 0
            if volume.free - coming < self._reserve:
                yield Shortage(
                    places,
                    f"{volume.free // _MIB} MB are free, and {self._reserve // _MIB} are kept to "
                    "finish what was accepted" + (_announced(size) if coming else ""),
                )
            elif volume.files is not None and volume.files < RESERVED_FILES:
                yield Shortage(places, f"no more than {volume.files} files can be made")


def _announced(size: int) -> str:
    return f"; {size // _MIB} more were to be stored" if size else ""
