"""Checks the stores of the service: its database, a NATS of the operator, a bucket.

Nothing is created. The module loads the client of NATS, so it is imported only where needed.
"""

import asyncio
from collections.abc import Iterator

from actors.ports import StorageUnavailable
from bus.connection import connect
from bus.errors import BusUnavailable
from ilios.blobs.factory import probe_bucket
from ilios.blobs.s3 import S3Config
from ilios.data_directory import refuse_foreign_database
from ilios.database.foreign import ForeignDatabase
from ilios.integrity.missing_database import DatabaseMissing, check_snapshots
from ilios.preflight.machine import Finding, ok, problem
from ilios.settings.settings import Settings

REACHED_WITHIN = 8.0  # seconds


def check(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each store that is configured, and for a database that is not ours."""
    try:
        refuse_foreign_database(settings)
        check_snapshots(settings)
    except (DatabaseMissing, ForeignDatabase) as error:
        yield problem(f"LOCAL_DB_PATH: {error}")
    except OSError:
        pass  # the file cannot be read, which the check of the directories reports
    if settings.nats_url is not None:
        yield asyncio.run(_check_bus(settings.nats_url.get_secret_value()))
    if settings.s3 is not None:
        yield asyncio.run(_check_bucket(settings.s3))


async def _check_bus(url: str) -> Finding:
    try:
        async with asyncio.timeout(REACHED_WITHIN), connect(url, name="check") as connection:
            await connection.check()
            return ok(f"NATS_URL: {connection.address} answers, with JetStream")
    except BusUnavailable as error:
        return problem(f"NATS_URL: {error}")
    except TimeoutError:
        return problem(f"NATS_URL: no answer within {REACHED_WITHIN:.0f} s")


async def _check_bucket(config: S3Config) -> Finding:
    try:
        async with asyncio.timeout(REACHED_WITHIN):
            await probe_bucket(config)
    except StorageUnavailable as error:
        return problem(f"S3_BUCKET: {error}")
    except TimeoutError:
        return problem(
            f"S3_BUCKET: {config.location} did not answer within {REACHED_WITHIN:.0f} s; see "
            "AWS_ENDPOINT_URL_S3"
        )
    return ok(f"S3_BUCKET: {config.bucket} at {config.location} can be reached")
