"""The one that writes: everything that must be kept goes through here, one group at a time.

Grouping is where the speed is: whatever waits when a commit ends goes into the next one.
"""

import asyncio
from typing import NamedTuple, TypeVar, cast

import structlog

from .writes import Ledger, LedgerUnavailable, Write, WriteRefused

MAILBOX = 1024  # writes that may wait; then those who want to write wait
GROUP = 256  # writes in one commit

Answer = TypeVar("Answer")

log = structlog.get_logger("writer")


class _Waiting(NamedTuple):
    write: Write[object]
    answer: asyncio.Future[object]


class Writer:
    """Owns the ledger. ``keep`` may be called by anybody at any time; ``run`` runs once.

    A caller that is cancelled after handing a write over does not undo it. A writer that is
    cancelled finishes the group it has begun.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._mailbox: asyncio.Queue[_Waiting] = asyncio.Queue(MAILBOX)

    async def keep(self, write: Write[Answer]) -> Answer:
        """Return the write's answer after its commit.

        :raises WriteRefused: this write cannot be kept.
        :raises LedgerUnavailable: nothing can be kept at the moment.
        """
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        await self._mailbox.put(_Waiting(cast("Write[object]", write), future))
        return cast("Answer", await asyncio.shield(future))

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            group = [await self._mailbox.get()]
            while len(group) < GROUP and not self._mailbox.empty():
                group.append(self._mailbox.get_nowait())
            keeping = asyncio.ensure_future(self._keep(group))
            try:
                await asyncio.shield(keeping)
            except asyncio.CancelledError:
                await keeping
                raise

    async def _keep(self, group: list[_Waiting]) -> None:
        try:
            answers = await self._ledger.keep([waiting.write for waiting in group])
        except LedgerUnavailable as error:
            log.warning("nothing can be written", error=str(error))
            for waiting in group:
                _refuse(waiting.answer, error)
        except Exception as error:
            log.exception("the writer met a defect")
            for waiting in group:
                _refuse(waiting.answer, error)
        else:
            for waiting, answer in zip(group, answers, strict=True):
                if isinstance(answer, WriteRefused):
                    _refuse(waiting.answer, answer)
                elif not waiting.answer.done():
                    waiting.answer.set_result(answer)


def _refuse(future: asyncio.Future[object], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # a caller that went away must not make the loop complain
