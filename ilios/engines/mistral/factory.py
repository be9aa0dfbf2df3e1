"""Puts the parts of the Mistral engine together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from actors.ports import Blobs
from ilios.engines.mistral.batches import MistralBatches
from ilios.engines.mistral.calls import RetryingCalls
from ilios.engines.mistral.circuit_breaker import CircuitBreaker
from ilios.engines.mistral.client import MistralClient
from ilios.engines.mistral.engine import MistralEngine
from ilios.engines.mistral.limits import MistralLimits
from ilios.engines.mistral.pdf_splitter import PdfSplitter
from ilios.engines.mistral.rate_limit import RateLimiter
from ilios.engines.mistral.uploads import Uploads
from ilios.secret import Secret


class MistralParts(Struct, frozen=True):
    """What there is of it. ``uploads`` is to be run, so that nothing stays there."""

    engine: MistralEngine
    batches: MistralBatches
    uploads: Uploads


@asynccontextmanager
async def open_engine(
    key: Secret,
    server_url: str | None,
    *,
    blobs: Blobs,
    pdf_splitter: PdfSplitter,
    limits: MistralLimits,
    prefix: str,
) -> AsyncIterator[MistralParts]:
    """Open the engine; nothing is asked of the API yet.

    :param prefix: begins the names of all that this installation uploads.
    """
    async with MistralClient.open(
        key,
        server_url,
        max_concurrent_calls=limits.max_concurrent_calls,
        call_timeout=limits.call_timeout,
    ) as client:
        breaker = CircuitBreaker()
        calls = RetryingCalls(limits, breaker, RateLimiter(limits))
        uploads = Uploads(client, calls, prefix)
        yield MistralParts(
            MistralEngine(
                client,
                calls,
                breaker,
                uploads,
                blobs=blobs,
                pdf_splitter=pdf_splitter,
                limits=limits,
            ),
            MistralBatches(client, calls, uploads, blobs, pdf_splitter, limits),
            uploads,
        )
