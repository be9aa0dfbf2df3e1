"""Announcement of a core on an external bus, for hosts that may work for it."""

import asyncio
from contextlib import suppress
from pathlib import Path

import structlog
from msgspec import Struct

from actors.attempts import SharedCounts
from bus import cluster
from bus.connection import Connection
from bus.epochs import OwnEpoch
from bus.errors import BusMisconfigured, BusUnavailable
from ilios import __version__, cluster_facts
from ilios.blobs.factory import load_owner
from ilios.blobs.shared_directory import write_mark
from ilios.passwords.seal import Seal
from ilios.settings.settings import Settings

LOOK_INTERVAL = 1.0  # seconds between looks; workers wait longer for a mark that fits the facts

_PERMISSIONS = ("ilios.cluster.", "$js.api.stream.info.ilios_", "$js.api.stream.create.ilios_")

log = structlog.get_logger("cluster")


class Announcement(Struct, frozen=True):
    """The facts of a core with an epoch, on the bus and with their mark in ``directory``."""

    connection: Connection
    epoch: OwnEpoch
    facts: bytes
    directory: Path | None
    mark: str

    async def run(self) -> None:
        """Publish the facts again where others are on the bus, until cancelled.

        Others are there if the bus was away at the start, or if a core that was replaced was
        stopped just before it published its own. No worker could go on.
        """
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            with suppress(
                BusUnavailable, OSError
            ):  # the health check shows a directory that is away
                await self.look()

    async def look(self) -> None:
        """Publish the facts, and write the mark, if others are on the bus.

        :raises Superseded: this core was replaced: those of another one belong there.
        :raises BusUnavailable: the bus does not answer.
        :raises OSError: the directory cannot be written.
        """
        if await cluster.read_facts(self.connection) == self.facts:
            return
        await self.epoch.epoch.confirm()
        if self.directory is not None:
            await asyncio.to_thread(write_mark, self.directory, self.mark)
        await _publish(self.connection, self.facts)
        log.warning("facts of this core published again")


async def announce(
    settings: Settings, connection: Connection, seal: Seal, epoch: OwnEpoch | None
) -> tuple[SharedCounts | None, Announcement | None]:
    """Publish the facts of this core; returns the counts that it shares with other hosts.

    None on an embedded bus, and on one that has no place for them: then no other host can join.
    With an epoch there is also what looks after the facts.

    :raises SecretsDamaged: the owner id of the bucket cannot be read.
    """
    if settings.nats_url is None:
        return None, None
    mark = owner = ""
    if settings.shared_blobs is not None:
        mark = await asyncio.to_thread(write_mark, settings.shared_blobs)
    if settings.s3_bucket is not None:
        owner = load_owner(settings.data_dir)
    facts = cluster_facts.encode(
        cluster_facts.facts_of(
            settings,
            __version__,
            seal.fingerprint,
            owner=owner,
            mark=mark,
            process=epoch.epoch.record.holder.process if epoch else "",
        )
    )
    announcement = (
        Announcement(connection, epoch, facts, settings.shared_blobs, mark) if epoch else None
    )
    try:
        await connection.ride_out(lambda: _publish(connection, facts))
    except BusUnavailable as error:
        log.warning("no other host can join", reason=str(error))
        if announcement is None or isinstance(error, BusMisconfigured):
            return None, None
    return cluster.KeyValues(connection, cluster.COUNTS), announcement


async def _publish(connection: Connection, facts: bytes) -> None:
    """Replace the facts on the bus.

    :raises BusMisconfigured: its user may not.
    :raises BusUnavailable: it does not answer.
    """
    try:
        await cluster.ensure_streams(connection)
        await cluster.publish_facts(connection, facts)
    except BusUnavailable as error:
        if any(map(connection.permission_violations.is_lacking, _PERMISSIONS)):
            raise BusMisconfigured(str(error)) from error
        raise
