"""A local store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ilios.blobs.local import LocalBlobs


@pytest.fixture
async def blobs(tmp_path: Path) -> AsyncIterator[LocalBlobs]:
    async with LocalBlobs.open(tmp_path / "blobs") as store:
        yield store
