"""The content of a store, read through its port."""

from actors.ports import Blobs, StoredBlob

KEY = "originals/default/abc123"


async def read_blob(store: Blobs, key: str) -> bytes:
    return b"".join([chunk async for chunk in store.read(key)])


async def list_pages(store: Blobs, prefix: str = "", limit: int = 1000) -> list[list[StoredBlob]]:
    """Return the blobs of all pages, none of which may be too long."""
    found: list[list[StoredBlob]] = []
    position: str | None = None
    while True:
        page, position = await store.list_page(prefix, position, limit)
        assert len(page) <= limit
        found.append(page)
        if position is None:
            return found


async def list_keys(store: Blobs, prefix: str = "", limit: int = 1000) -> list[str]:
    return [blob.key for page in await list_pages(store, prefix, limit) for blob in page]
