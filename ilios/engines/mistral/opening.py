"""Puts the parts of the Mistral engine together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from actors.ports import Blobs
from ilios.engines.mistral.batches import MistralBatches
from ilios.engines.mistral.breaker import Breaker
from ilios.engines.mistral.budget import Budget
from ilios.engines.mistral.calls import Calls
from ilios.engines.mistral.client import Client
from ilios.engines.mistral.engine import MistralEngine
from ilios.engines.mistral.limits import MistralLimits
from ilios.engines.mistral.pdf_parts import PdfParts
from ilios.engines.mistral.uploads import Uploads
from ilios.setting_values import Secret


class Mistral(Struct, frozen=True):
    """What there is of it. ``uploads`` is to be run, so that nothing stays there."""

    engine: MistralEngine
    batches: MistralBatches
    uploads: Uploads


@asynccontextmanager
async def opened(
    key: Secret,
    server_url: str | None,
    *,
    blobs: Blobs,
    parts: PdfParts,
    limits: MistralLimits,
    prefix: str,
) -> AsyncIterator[Mistral]:
    """Open the engine; nothing is asked of the API yet.

    :param prefix: begins the names of all that this installation uploads.
    """
    async with Client.open(
        key, server_url, at_once=limits.at_once, call_within=limits.call_within
    ) as client:
        breaker = Breaker()
        calls = Calls(limits, breaker, Budget(limits))
        uploads = Uploads(client, calls, prefix)
        yield Mistral(
            MistralEngine(client, calls, breaker, uploads, blobs=blobs, parts=parts, limits=limits),
            MistralBatches(client, calls, uploads, blobs, parts, limits),
            uploads,
        )
