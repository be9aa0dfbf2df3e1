"""``/_fake/...``: what the real API does not have, for the fake as a process.

``GET /_fake/paid`` returns the paid calls of each document, by its hash; ``POST /_fake/faults``
takes the shares of requests that fail. Neither needs a key.
"""

import msgspec
from aiohttp import web

from tests.mistral.faults import Endpoint, Fault
from tests.mistral.responses import json_response
from tests.mistral.state import FakeMistral


class FaultShares(msgspec.Struct, forbid_unknown_fields=True):
    """So many of the requests of each endpoint fail, in one of these ways."""

    share: float
    faults: tuple[Fault, ...]
    endpoints: tuple[Endpoint, ...]
    seed: int = 0


def control_routes(fake: FakeMistral) -> list[web.RouteDef]:
    """Return the routes of the control API."""

    async def paid(_: web.Request) -> web.StreamResponse:
        return json_response(dict(fake.call_log.paid_calls))

    async def faults(request: web.Request) -> web.StreamResponse:
        shares = msgspec.json.decode(await request.read(), type=FaultShares)
        fake.faults.seed = shares.seed
        for endpoint in shares.endpoints:
            fake.faults.fail_share(endpoint, shares.share, shares.faults)
        return json_response({})

    return [web.get("/_fake/paid", paid), web.post("/_fake/faults", faults)]
