"""Files of another service are read below their directory only."""

from pathlib import Path

import pytest

from actors.ports import BlobNotFound
from ilios.blobs.former import open_former_files
from tests.ilios.blobs.contents import KEY
from tests.ilios.blobs.test_s3 import opened
from tests.s3.servers import S3Server


async def content(root: Path, key: str) -> bytes:
    async with open_former_files(root) as files:
        return b"".join([chunk async for chunk in files.read(key)])


async def test_a_file_is_read_by_its_key(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/1-a.pdf").write_bytes(b"%PDF")
    assert await content(tmp_path, "documents/1-a.pdf") == b"%PDF"
    assert await content(tmp_path, "/documents/1-a.pdf") == b"%PDF"


@pytest.mark.parametrize(
    "key", ["missing", "", "../secret", "link", "a\0b", "documents", "a" * 5000]
)
async def test_nothing_else_is_found(tmp_path: Path, key: str) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    root = tmp_path / "root"
    (root / "documents").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(BlobNotFound):
        await content(root, key)


async def test_an_object_of_a_bucket_is_read_by_its_name(server: S3Server, tmp_path: Path) -> None:
    place = server.config()
    async with opened(place, tmp_path) as store:
        await store.put_bytes(KEY, b"%PDF")
    async with open_former_files(place) as files:
        assert b"".join([chunk async for chunk in files.read(place.prefix + KEY)]) == b"%PDF"
        for missing in ("convert/2.pdf", ""):
            with pytest.raises(BlobNotFound):
                await anext(aiter(files.read(missing)))
