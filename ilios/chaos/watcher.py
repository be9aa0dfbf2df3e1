"""Somebody who keeps asking how far documents are: by this it shows when one has ended."""

import asyncio
import random
from collections.abc import Iterable

from ilios.chaos.asking import PAUSE, Asking
from ilios.chaos.crowd import ask
from ilios.chaos.promises import Book, Document

OLDEST, OTHERS, ENDED_ONES = 20, 6, 2
"""Documents asked about in one round: they end by age as a rule, and then stay as they are."""
AT_ONCE = 4  # requests: the machine is to be busy with documents, not with us


async def watch(asking: Asking, book: Book, chance: random.Random) -> None:
    """Ask about documents for ever, some of which have ended before."""
    while True:
        waiting = book.open
        chosen = {one.name: one for one in waiting[:OLDEST]}
        chosen |= {one.name: one for one in _some(chance, waiting, OTHERS)}
        kept = [one for one in book.documents.values() if one.ended_at is not None]
        chosen |= {one.name: one for one in _some(chance, kept, ENDED_ONES)}
        await ask_all(asking, book, chosen)
        await asyncio.sleep(PAUSE)


async def ask_all(asking: Asking, book: Book, names: Iterable[str]) -> None:
    """Ask about each of these once."""
    left = iter(names)

    async def go_on() -> None:
        for name in left:
            await ask(asking, book, name)

    await asyncio.gather(*(go_on() for _ in range(AT_ONCE)))


def _some(chance: random.Random, documents: list[Document], most: int) -> list[Document]:
    return chance.sample(documents, min(most, len(documents)))
