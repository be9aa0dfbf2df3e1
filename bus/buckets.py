"""The buckets in which publishers put large files, one for each tenant: their settings."""

import nats.errors
import structlog
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from bus.errors import BusUnavailable
from bus.objects import MIN_CHUNK_BYTES, bucket_name, bucket_stream
from bus.replicas import add_stream, set_copies
from bus.streams import MAX_EVENT_BYTES

CLOSED = 1
"""The size in bytes of a bucket that takes nothing; what is in it stays."""
MIN_MESSAGES = 1024

log = structlog.get_logger("bus")


async def ensure_bucket(
    js: JetStreamContext,
    tenant: str,
    max_bytes: int,
    *,
    max_age: float,
    copies: int | None = None,
) -> str | None:
    """Create the bucket of a tenant, or give an existing one this size and so many copies.

    Its objects are stored for at most ``max_age`` seconds. Returns advice on its copies as
    ``set_copies`` does.

    :raises BusMisconfigured: the servers cannot store so many copies.
    :raises BusUnavailable: JetStream does not answer, or refuses.
    """
    wanted = StreamConfig(
        name=bucket_stream(tenant),
        description=f"Files that publishers of the tenant {tenant} submit",
        subjects=[f"$O.{bucket_name(tenant)}.C.>", f"$O.{bucket_name(tenant)}.M.>"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        # A put that does not fit is refused; it never replaces an object that waits.
        discard=DiscardPolicy.NEW,
        max_bytes=max_bytes,
        # The server has each subject in memory.
        max_msgs=max(MIN_MESSAGES, max_bytes // MIN_CHUNK_BYTES),
        max_msg_size=MAX_EVENT_BYTES,
        max_age=max_age,
        allow_direct=True,
        allow_rollup_hdrs=True,
    )
    try:
        try:
            info = await js.stream_info(bucket_stream(tenant))
        except NotFoundError:
            await add_stream(js, wanted, copies)
            return None
        found, advice = info.config, await set_copies(js, info, copies)
        if (found.max_bytes, found.max_msgs) != (wanted.max_bytes, wanted.max_msgs):
            found.max_bytes, found.max_msgs = wanted.max_bytes, wanted.max_msgs
            await js.update_stream(found)
            log.info("bucket changed", tenant=tenant, max_bytes=max_bytes)
    except (nats.errors.Error, JetStreamError, TimeoutError) as error:
        message = f"the bucket {bucket_name(tenant)} cannot be made or changed: {error}"
        raise BusUnavailable(message) from error
    return advice
