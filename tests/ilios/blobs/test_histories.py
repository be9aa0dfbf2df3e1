"""After any history a store has the content of a dictionary."""

import asyncio
import hashlib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.ports import BlobNotFound, Blobs
from ilios.blobs.local import LocalBlobs
from schemas.documents import Blob
from tests.ilios.blobs.contents import list_pages, read_blob

KEYS = st.sampled_from([f"{room}/{name}" for room in ("originals", "archive") for name in "abc"])
STEPS = st.one_of(
    st.tuples(st.just("put"), KEYS, st.binary(max_size=20)),
    st.tuples(st.just("move"), KEYS, KEYS),
    st.tuples(st.just("delete"), KEYS, st.none()),
)


async def apply_step(store: Blobs, model: dict[str, bytes], step: tuple[str, str, object]) -> None:
    """Apply one step to both; it must succeed where the dictionary allows it."""
    match step:
        case ("put", key, bytes(data)):
            await store.put_bytes(key, data)
            model[key] = data
        case ("delete", key, _):
            await store.delete(key)
            model.pop(key, None)
        case ("move", source, str(target)):
            try:
                await store.move(source, target)
            except BlobNotFound:
                assert source not in model
            else:
                model[target] = model.pop(source)


async def compare(store: Blobs, held: dict[str, bytes], prefix: str, limit: int) -> None:
    expected = {key: len(data) for key, data in held.items() if key.startswith(prefix)}
    listed = [blob for page in await list_pages(store, prefix, limit) for blob in page]
    assert len(listed) == len(expected)
    assert {blob.key: blob.size for blob in listed} == expected
    for key, data in held.items():
        assert await read_blob(store, key) == data
        assert await store.digest(key) == Blob(key, len(data), hashlib.sha256(data).hexdigest())


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.lists(STEPS, max_size=12), max_size=6),
    st.sampled_from(["", "originals/", "archive/"]),
    st.integers(1, 4),
)
def test_any_history_of_operations_matches_a_dictionary(
    shards: Path, histories: list[list[tuple[str, str, object]]], prefix: str, limit: int
) -> None:
    async def run() -> None:
        async with LocalBlobs.open(shards) as store:
            for history in histories:
                stored: dict[str, bytes] = {}
                for step in history:
                    await apply_step(store, stored, step)
                await compare(store, stored, prefix, limit)
                for key in stored:
                    await store.delete(key)

    asyncio.run(run())
