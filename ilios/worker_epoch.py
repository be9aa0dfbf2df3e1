"""The epoch of the core as a worker on another host follows it.

What the worker publishes is refused by the log once another core has it. It goes on for that core
if that has the same blobs, which the facts of that core show as soon as it has published them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from bus import epoch_records
from bus.connection import Connection
from bus.epoch_records import Holder
from bus.epochs import Epoch
from bus.errors import BusUnavailable
from ilios.cluster_facts import CannotJoin, ClusterFacts

FACTS_TIMEOUT = 10.0  # seconds in which a core that has an epoch publishes its facts
FACTS_PAUSE = 0.1  # seconds

ReadFacts = Callable[[], Awaitable[ClusterFacts]]
"""Returns the latest facts, once it is proved that this host agrees with them."""


async def follow(connection: Connection, agreed: ClusterFacts, read: ReadFacts) -> None:
    """Let the publishes of a connection depend on the epoch of the core of the ``agreed`` facts.

    A core of a former version has none.

    :raises BusUnavailable: the bus does not answer, or another core starts just now.
    """
    if not agreed.process:
        connection.fence = None
    if not agreed.process or connection.fence is not None:
        return
    record = await epoch_records.read(connection)
    if record is None or record.holder.process != agreed.process:
        raise BusUnavailable("another core starts on this bus")
    following = agreed.process

    async def is_agreed(holder: Holder) -> bool:
        nonlocal following
        if holder.process != following:
            await _wait_for_facts(holder.process, read)
            following = holder.process
        return True

    connection.fence = Epoch(connection, record, is_agreed)


async def _wait_for_facts(process: str, read: ReadFacts) -> None:
    """Wait until the facts are those of a core that starts, and this host agrees with them.

    :raises BusUnavailable: they are not, or it does not; what is published has to wait.
    """
    deadline = time.monotonic() + FACTS_TIMEOUT
    while time.monotonic() < deadline:
        try:
            facts = await read()
        except CannotJoin as error:
            raise BusUnavailable(f"the core does not agree with this host: {error}") from error
        if facts.process == process:
            return
        await asyncio.sleep(FACTS_PAUSE)
    raise BusUnavailable("the core that has the log now has published no facts")
