"""The epoch of this core on an external bus, on which other cores may be started.

An embedded bus is reached by one core alone, that of the locked data directory: it has no epochs.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog
from msgspec import Struct

from bus import epoch_records, epochs
from bus.connection import Connection
from bus.epoch_records import EpochsRefused, Holder, Record
from bus.epochs import Epoch, OwnEpoch
from ilios import __version__
from ilios.secret import generate_password, load_or_create_secrets
from ilios.settings.settings import Settings

CORE_FILE = "core.id"
"""The file in the data directory by which it is recognised, also under another path."""

log = structlog.get_logger("epoch")


class _CoreId(Struct, frozen=True):
    id: str


def core_id(data_dir: Path) -> str:
    """Return the id of a data directory, which is made with its first core.

    :raises SecretsDamaged: it cannot be read.
    """
    path = data_dir / CORE_FILE
    return load_or_create_secrets(path, _CoreId, lambda: _CoreId(generate_password())).id


async def refuse_second(settings: Settings, connection: Connection, *, take_over: bool) -> bool:
    """Return whether this start replaces the core of an epoch that stands.

    :raises EpochStands: the log belongs to another core.
    :raises BusUnavailable: the log does not answer.
    """
    if settings.nats_url is None:
        return False
    if take_over:
        record = await epoch_records.read(connection)
    else:
        record = await epochs.refuse_second(connection, core_id(settings.data_dir))
    # Without one, a core of a version without epochs may run, which the log cannot refuse.
    return record is not None and not record.holder.released


@asynccontextmanager
async def open_epoch(
    settings: Settings, connection: Connection, *, take_over: bool
) -> AsyncIterator[OwnEpoch | None]:
    """Take an epoch, on which all publishes of a connection depend while the context is open.

    None on an embedded bus, and on one whose user may not write epochs.

    :raises EpochStands: the log belongs to another core.
    :raises BusUnavailable: the log does not answer.
    :raises SecretsDamaged: the id of the data directory cannot be read.
    """
    if settings.nats_url is None:
        yield None
        return
    try:
        record = await epochs.take(connection, _holder(settings), take_over=take_over)
    except EpochsRefused as error:
        log.warning("nothing stops a second core on this bus", reason=str(error))
        yield None
        return
    log.info("epoch taken", epoch=record.epoch)
    own = OwnEpoch(connection, record, settings.log_max_age.total_seconds())
    connection.fence = own.epoch
    try:
        yield own
    finally:
        await own.release()


def edge_epoch(connection: Connection, record: Record | None) -> Epoch | None:
    """Return the epoch of the core in its edge process, on a connection of that."""
    if record is None:
        return None

    async def is_of_core(holder: Holder) -> bool:
        return holder.process == record.holder.process and not holder.released

    connection.fence = epoch = Epoch(connection, record, is_of_core)
    return epoch


def _holder(settings: Settings) -> Holder:
    return Holder(
        core=core_id(settings.data_dir),
        process=secrets.token_hex(8),
        host=settings.name,
        directory=str(settings.data_dir.absolute()),
        version=__version__,
        since=datetime.now(UTC),
    )
