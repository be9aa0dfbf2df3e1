from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ilios.blobs.local import LocalBlobs
from tests.ilios.edge.world import World


@pytest.fixture
async def world(blob_root: Path) -> AsyncIterator[World]:
    async with LocalBlobs.open(blob_root) as blobs:
        made = World(blobs, blob_root)
        yield made
        await made.close()
