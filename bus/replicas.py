"""Copies of streams: three where the servers are a cluster of at least as many, else one.

A client without the system account is not shown the peers of JetStream. What it can do is create a
stream: the server refuses more copies than it has peers, and counts one that is down just now.
"""

import asyncio
import time

import structlog
from nats.js import JetStreamContext
from nats.js.api import StreamConfig, StreamInfo
from nats.js.errors import APIError

from bus.errors import BusMisconfigured

CLUSTER_COPIES = 3
PEERS_TIMEOUT = 5.0  # seconds in which the nodes of a cluster that starts find each other
RETRY_DELAY = 0.5  # seconds

# JetStream API error codes, nats-server server/errors.json
_NOT_CLUSTERED, _NO_PEERS = 10074, 10005

log = structlog.get_logger("bus")


async def add_stream(js: JetStreamContext, config: StreamConfig, copies: int | None) -> None:
    """Create a stream with so many copies, by default as many as are of use.

    :raises BusMisconfigured: the servers cannot store so many.
    """
    deadline = time.monotonic() + PEERS_TIMEOUT
    config.num_replicas = copies or CLUSTER_COPIES
    while True:
        try:
            await js.add_stream(config)
        except APIError as error:
            if error.err_code not in (_NOT_CLUSTERED, _NO_PEERS) or config.num_replicas == 1:
                raise
            if error.err_code == _NO_PEERS and time.monotonic() < deadline:
                await asyncio.sleep(RETRY_DELAY)
            elif copies is not None:
                raise _too_many(config, error) from error
            else:
                config.num_replicas = 1
        else:
            return


async def set_copies(js: JetStreamContext, info: StreamInfo, copies: int | None) -> str | None:
    """Give an existing stream so many copies, if a number is given.

    Without one nothing is changed, and a sentence with the command is returned where a stream of a
    cluster has a single copy.

    :raises BusMisconfigured: as ``add_stream``.
    """
    config = info.config
    if copies is None:
        # Only servers in a cluster name it. A cluster of two cannot have more, and has no use.
        if info.cluster is None or info.cluster.name is None or config.num_replicas != 1:
            return None
        return (
            f"the stream {config.name} has one copy, on the node {info.cluster.leader} of the "
            f"cluster {info.cluster.name}, and is away with it: nats stream edit {config.name} "
            f"--replicas {CLUSTER_COPIES}, or ILIOS_BUS_REPLICAS={CLUSTER_COPIES}"
        )
    if config.num_replicas != copies:
        was, config.num_replicas = config.num_replicas, copies
        try:
            await js.update_stream(config)
        except APIError as error:
            if error.err_code not in (_NOT_CLUSTERED, _NO_PEERS):
                raise
            raise _too_many(config, error) from error
        log.info("copies of a stream changed", stream=config.name, was=was, copies=copies)
    return None


def _too_many(config: StreamConfig, error: APIError) -> BusMisconfigured:
    return BusMisconfigured(
        f"ILIOS_BUS_REPLICAS: the servers of the bus cannot store {config.num_replicas} copies of "
        f"the stream {config.name}: {error.description}"
    )
