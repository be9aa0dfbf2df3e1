"""Free space on the volumes the service writes to.

Below a reserve nothing new is accepted: the rest is for documents that were accepted before. The
volumes are read so often that health and submissions agree; in between, incoming bytes are counted.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Self

import structlog

from actors.ports import StorageFull

REFRESH_INTERVAL = 0.02  # seconds
MIN_FREE_FILES = 1000  # files a volume must have room for, where their number is limited at all
BLOBS = "blobs"
"""The place of what clients upload."""
COPIES = "copies of blobs"
"""The place of local copies of blobs in a bucket."""

_MIB = 1024 * 1024

log = structlog.get_logger("volumes")


class Volume(NamedTuple):
    """The volume of a directory: free bytes, and free files or None where they are not limited."""

    device: int
    free: int
    files: int | None

    @classmethod
    def of(cls, directory: Path) -> Self | None:
        """Return the volume of a directory, or None if it cannot be read."""
        try:
            device, found = directory.stat().st_dev, os.statvfs(directory)
        except OSError:
            return None
        # Without the blocks reserved for root, which a service cannot use.
        files = found.f_favail if found.f_files else None
        return cls(device, found.f_bavail * found.f_frsize, files)


class Shortage(NamedTuple):
    """A full volume: the places on it, and the reason."""

    places: tuple[str, ...]
    reason: str


class DiskGuard:
    """Refuses documents while a volume is full. Sizes are bytes.

    ``places`` are the directories that are written to, by their purpose. Several may be on one
    volume.
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
        self._refreshed_at = -REFRESH_INTERVAL
        self._reserved = 0  # since then, on the volume of the blobs
        self._volumes: dict[tuple[str, ...], Volume] = {}
        self._reported: set[tuple[str, ...]] = set()

    @property
    def shortages(self) -> list[Shortage]:
        """Every volume with less free space than the reserve."""
        self._refresh()
        return list(self._find_shortages(0))

    def check(self, size: int = 0) -> None:
        """Return if ``size`` more bytes of blobs leave the reserve free.

        :raises StorageFull: they do not, or it is used already.
        """
        self._refresh()
        self._raise_if_short(size)

    def reserve(self, size: int) -> None:
        """Count bytes that are being received. Errors as ``check``."""
        self._refresh()  # first: the bytes may not show in a later reading yet
        self._reserved += size
        self._raise_if_short(0)

    def _raise_if_short(self, size: int) -> None:
        for shortage in self._find_shortages(size):
            raise StorageFull(shortage.reason)

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._refreshed_at < REFRESH_INTERVAL:
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
        """Log that a volume became full or free, once for each change."""
        short = {shortage.places: shortage.reason for shortage in self._find_shortages(0)}
        for places in short.keys() - self._reported:
            log.error(
                "volume full, submissions refused",
                places=places,
                directory=str(self._places[places[0]]),
                reason=short[places],
            )
        for places in self._reported - short.keys():
            log.warning("volume has free space again", places=places)
        self._reported = set(short)

    def _find_shortages(self, size: int) -> Iterator[Shortage]:
        for places, volume in self._volumes.items():
            incoming = self._reserved + size if BLOBS in places else 0
            if volume.free - incoming < self._min_free_bytes:
                yield Shortage(
                    places,
                    f"{volume.free // _MIB} MB are free, and {self._min_free_bytes // _MIB} are "
                    "reserved for accepted documents" + (_announced(size) if incoming else ""),
                )
            elif volume.files is not None and volume.files < MIN_FREE_FILES:
                yield Shortage(places, f"no more than {volume.files} files can be made")


def _announced(size: int) -> str:
    return f"; {size // _MIB} more were to be stored" if size else ""
