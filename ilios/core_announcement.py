"""Announcement of a core on an external bus, for hosts that may work for it."""

import asyncio

import structlog

from actors.attempts import SharedCounts
from bus import cluster
from bus.connection import Connection
from bus.epochs import OwnEpoch
from bus.errors import BusUnavailable
from ilios import __version__, cluster_facts
from ilios.blobs.factory import load_owner
from ilios.blobs.shared_directory import write_mark
from ilios.passwords.seal import Seal
from ilios.settings.settings import Settings

log = structlog.get_logger("cluster")


async def announce(
    settings: Settings, connection: Connection, seal: Seal, epoch: OwnEpoch | None
) -> SharedCounts | None:
    """Publish the facts of this core; returns the counts that it shares with other hosts.

    None on an embedded bus, and on one that has no place for them: then no other host can join.

    :raises SecretsDamaged: the owner id of the bucket cannot be read.
    """
    if settings.nats_url is None:
        return None
    mark = owner = ""
    if settings.shared_blobs is not None:
        mark = await asyncio.to_thread(write_mark, settings.shared_blobs)
    if settings.s3_bucket is not None:
        owner = load_owner(settings.data_dir)
    facts = cluster_facts.facts_of(
        settings,
        __version__,
        seal.fingerprint,
        owner=owner,
        mark=mark,
        process=epoch.epoch.record.holder.process if epoch else "",
    )
    try:
        await cluster.ensure_streams(connection)
        await cluster.publish_facts(connection, cluster_facts.encode(facts))
    except BusUnavailable as error:
        log.warning("no other host can join", reason=str(error))
        return None
    return cluster.KeyValues(connection, cluster.COUNTS)
