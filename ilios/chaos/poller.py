"""Somebody who keeps asking how far documents are: by this it shows when one has ended."""

import asyncio
import random
from collections.abc import Iterable

from ilios.chaos.clients import poll_status
from ilios.chaos.expectations import Document, RunRecord
from ilios.chaos.http_client import RETRY_PAUSE, HttpClient

OLDEST, OTHERS, ENDED_ONES = 20, 6, 2
"""Documents asked about in one round: they end by age as a rule, and then stay as they are."""
AT_ONCE = 4  # requests: the machine is to be busy with documents, not with us


async def poll(client: HttpClient, record: RunRecord, rng: random.Random) -> None:
    """Ask about documents for ever, some of which have ended before."""
    while True:
        waiting = record.unfinished
        chosen = {one.name: one for one in waiting[:OLDEST]}
        chosen |= {one.name: one for one in _sample(rng, waiting, OTHERS)}
        kept = [one for one in record.documents.values() if one.ended_at is not None]
        chosen |= {one.name: one for one in _sample(rng, kept, ENDED_ONES)}
        await poll_all(client, record, chosen)
        await asyncio.sleep(RETRY_PAUSE)


async def poll_all(client: HttpClient, record: RunRecord, names: Iterable[str]) -> None:
    """Ask about each of these once."""
    left = iter(names)

    async def poll_next() -> None:
        for name in left:
            await poll_status(client, record, name)

    await asyncio.gather(*(poll_next() for _ in range(AT_ONCE)))


def _sample(rng: random.Random, documents: list[Document], limit: int) -> list[Document]:
    return rng.sample(documents, min(limit, len(documents)))
