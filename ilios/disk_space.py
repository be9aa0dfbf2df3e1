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
MIN_FREE_FILES = 1000  # files a volume must have room for, where their number is limited at all
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


class DiskGuard:
    """Lets documents in while there is room; fits ``ilios.edge.context.Room``. Sizes are bytes.

    ``places`` are the directories that are written to, by what they are for. Several may lie on
    one volume.
    """

    def __init__(
        self,
        places: Mapping[str, Path],
        min_free_bytes: int,
        stat_volume: Callable[[Path], Volume | None] = Volume.of,
    ) -> None:
        self._places = dict(places)
        self._min_free_bytes = min_free_bytes
        self._stat_volume = stat_volume
        self._refreshed_at = -ASKED_EVERY
        self._reserved = 0  # since then, on the volume of the blobs
        self._volumes: dict[tuple[str, ...], Volume] = {}
        self._reported: set[tuple[str, ...]] = set()

    @property
    def shortages(self) -> list[Shortage]:
        """Every volume on which less than the reserve is left."""
        self._refresh()
        return list(self._find_shortages(0))

    def check(self, size: int = 0) -> None:
        """Let pass what is yet to be taken in, ``size`` bytes of it for the blobs.

        :raises StorageFull: it would leave less than the reserve, or less is left as it is.
        """
        self._refresh()
        self._raise_if_short(size)

    def reserve(self, size: int) -> None:
        """Count what is being taken in. Errors as ``refuse``."""
        self._refresh()  # first: what the system is asked after this may not show it yet
        self._reserved += size
        self._raise_if_short(0)

    def _raise_if_short(self, size: int) -> None:
        for shortage in self._find_shortages(size):
            raise StorageFull(shortage.reason)

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._refreshed_at < ASKED_EVERY:
            return
        self._refreshed_at, self._reserved = now, 0
        by_device: dict[int, tuple[tuple[str, ...], Volume]] = {}
        for place, directory in self._places.items():
            if (volume := self._stat_volume(directory)) is not None:
                others, _ = by_device.get(volume.device, ((), volume))
                by_device[volume.device] = ((*others, place), volume)
        self._volumes = dict(by_device.values())
        self._log_changes()

    def _log_changes(self) -> None:
        """Log what has changed, and not each request it costs."""
        short = {shortage.places: shortage.reason for shortage in self._find_shortages(0)}
        for places in short.keys() - self._reported:
            log.error(
                "too little room, submissions are refused",
                places=places,
                directory=str(self._places[places[0]]),
                reason=short[places],
            )
        for places in self._reported - short.keys():
            log.warning("there is room again", places=places)
        self._reported = set(short)

    def _find_shortages(self, size: int) -> Iterator[Shortage]:
        for places, volume in self._volumes.items():
            incoming = self._reserved + size if BLOBS in places else 0
            if volume.free - incoming < self._min_free_bytes:
                yield Shortage(
                    places,
                    f"{volume.free // _MIB} MB are free, and {self._min_free_bytes // _MIB} are "
                    "kept to "
                    "finish what was accepted" + (_announced(size) if incoming else ""),
                )
            elif volume.files is not None and volume.files < MIN_FREE_FILES:
                yield Shortage(places, f"no more than {volume.files} files can be made")


def _announced(size: int) -> str:
    return f"; {size // _MIB} more were to be stored" if size else ""
