"""What a repeated request is recognised by never changes: a client may repeat it after an upgrade.

Each request of ``golden/requests.json`` has the id and the fingerprint that an older service gave
it; those of a batch's documents follow from it.
"""

import json
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.ilios.edge.world import World

GOLDEN: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "golden" / "requests.json").read_text()
)


async def named(world: World, case: dict[str, Any]) -> dict[str, Any]:
    """Send the request, and return the names of what it has made."""
    world.engines = ("local", "mistral")
    client = await world.serve(convert_timeout=0.05)  # nobody converts: it is accepted all the same
    form = aiohttp.FormData(case["fields"])
    for name, content_type, text in case["files"]:
        form.add_field(case["part"], text.encode(), filename=name, content_type=content_type)
    headers = {"Idempotency-Key": case["key"]}
    async with client.post(case["path"], data=form, headers=headers) as answer:
        assert answer.status == 202, await answer.text()
    (event,) = map(msgspec.json.decode, map(msgspec.json.encode, world.publisher.published))
    documents = [one["document_id"] for one in event.get("documents", ())]
    found = event.get("batch_id") or event["document_id"]
    return {"id": found, "documents": documents, "fingerprint": event["fingerprint"]}


@pytest.mark.parametrize("case", GOLDEN.values(), ids=GOLDEN)
async def test_a_request_has_the_id_and_the_fingerprint_it_always_had(
    world: World, case: dict[str, Any]
) -> None:
    assert await named(world, case) == case["named"]
