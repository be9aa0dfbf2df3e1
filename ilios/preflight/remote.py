"""Tries the services of others: a NATS of the operator's, a bucket. Nothing is made there."""

import asyncio
from collections.abc import Iterator

from actors.ports import StorageUnavailable
from bus.connection import connect
from bus.errors import BusUnavailable
from ilios.blobs.choice import try_bucket
from ilios.blobs.s3.place import S3Place
from ilios.preflight.findings import Finding, ok, problem
from ilios.settings import Settings

REACHED_WITHIN = 8.0  # seconds


def tried(settings: Settings) -> Iterator[Finding]:
    """Yield what is found of each service that is configured."""
    if settings.nats_url is not None:
        yield asyncio.run(_bus(settings.nats_url.reveal()))
    if settings.s3 is not None:
        yield asyncio.run(_bucket(settings.s3))


async def _bus(url: str) -> Finding:
    try:
        async with asyncio.timeout(REACHED_WITHIN), connect(url, name="check") as connection:
            await connection.check()
            return ok(f"NATS_URL: {connection.address} answers, with JetStream")
    except BusUnavailable as error:
        return problem(f"NATS_URL: {error}")
    except TimeoutError:
        return problem(f"NATS_URL: no answer within {REACHED_WITHIN:.0f} s")


async def _bucket(place: S3Place) -> Finding:
    try:
        async with asyncio.timeout(REACHED_WITHIN):
            await try_bucket(place)
    except StorageUnavailable as error:
        return problem(f"S3_BUCKET: {error}")
    except TimeoutError:
        return problem(
            f"S3_BUCKET: {place.where} did not answer within {REACHED_WITHIN:.0f} s; see "
            "AWS_ENDPOINT_URL_S3"
        )
    return ok(f"S3_BUCKET: {place.bucket} at {place.where} can be reached")
