from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ilios.blobs.local import LocalBlobs
from tests.ilios.edge.world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with LocalBlobs.open(tmp_path / "blobs") as blobs:
        made = World(blobs, tmp_path / "blobs")
        yield made
        await made.close()
