"""A local store, and servers for stores in buckets."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ilios.blobs.local import LocalBlobs
from tests.s3.servers import S3Server


@pytest.fixture
async def blobs(tmp_path: Path) -> AsyncIterator[LocalBlobs]:
    async with LocalBlobs.open(tmp_path / "blobs") as store:
        yield store


# Swift takes seconds of CPU to start, in each process that runs tests.
@pytest.fixture(params=["rclone", pytest.param("swift", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue(request.param)
    return found
