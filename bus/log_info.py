"""The state of the log that is not older than the question.

A node of a cluster may answer with what it has: while there is no leader, with the state of a
replica that lags behind; cut off from the others, with that of a leader that is one no more. Events
would then seem to be lost. A publish takes a majority of the nodes, so an answer that includes it
is true.
"""

import secrets

from nats.js import JetStreamContext
from nats.js.api import StreamInfo

from bus import codec, streams, subjects
from bus.connection import Connection
from bus.errors import BusFull, BusUnavailable
from bus.publisher import MSG_ID_HEADER, Publisher
from schemas.events import JanitorProbed

_PROBE = f"{subjects.JANITOR}.{subjects.event_name(JanitorProbed)}"


async def current_info(connection: Connection, js: JetStreamContext) -> StreamInfo:
    """Return the information of the server about the log.

    :raises BusUnavailable: a node lags behind, or the log has no leader.
    :raises NotFoundError: there is no log; other errors are those of the client.
    """
    info = await js.stream_info(streams.EVENTS)
    if not connection.may_lag:
        return info
    headers = {MSG_ID_HEADER: secrets.token_hex(16)}
    try:
        end = await Publisher(connection).publish_raw(
            _PROBE, codec.encode(JanitorProbed()), headers, within=0.0
        )
    except BusFull:
        return info  # that is a reply of the leader
    info = await js.stream_info(streams.EVENTS)
    if info.state.last_seq < end:
        raise BusUnavailable(f"a node has the log up to {info.state.last_seq}, it ends at {end}")
    return info


async def identity(connection: Connection, js: JetStreamContext) -> subjects.StreamIdentity:
    """Return the identity of the log with its last sequence. Errors as ``current_info``."""
    info = await current_info(connection, js)
    return subjects.StreamIdentity(streams.EVENTS, streams.created_at(info), info.state.last_seq)
