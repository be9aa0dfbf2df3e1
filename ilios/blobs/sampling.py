"""Whether a store is the one of the database: some blobs the database names are looked for.

A single blob may be gone for a reason of its own. A store that has none of several is another one,
or was emptied, and nothing may be concluded from what is missing in it.
"""

from collections.abc import Sequence
from pathlib import Path

from actors.ports import BlobNotFound, Blobs, StorageMismatch
from ilios.blobs.layout import blob_path

MIN_SAMPLE = 2
"""Blobs that must be missing together."""


async def ensure_any_present(blobs: Blobs, keys: Sequence[str]) -> None:
    """Return if the store has one of these blobs, or too few are asked for.

    :raises StorageMisplaced: it has none of them.
    :raises StorageUnavailable: it cannot be asked.
    """
    if len(keys) < MIN_SAMPLE:
        return
    for key in keys:
        try:
            await blobs.size(key)
        except BlobNotFound:
            continue
        return
    raise StorageMismatch(_none_found(len(keys), "the blob store"))


def ensure_any_in_directory(root: Path, keys: Sequence[str]) -> None:
    """Look for blobs in a directory that was not opened yet; blocks.

    :raises StorageMisplaced: it has none of them; it was not touched.
    """
    if not keys or any(Path(blob_path(str(root), key)).exists() for key in keys):
        return
    # Of a directory that was never opened, one blob is as good a sign as several.
    if len(keys) >= MIN_SAMPLE or not root.is_dir() or not any(root.iterdir()):
        raise StorageMismatch(_none_found(len(keys), str(root)))


def _none_found(number: int, where: str) -> str:
    return (
        f"none of {number} blobs that the database names is in {where}: is its volume mounted, is "
        "it the right place (ILIOS_DATA_DIR, S3_BUCKET), was it emptied?"
    )
