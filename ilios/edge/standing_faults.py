"""Refuses requests while a fault stands with which answers would be wrong, or stored nowhere."""

from aiohttp import web
from aiohttp.typedefs import Handler

from ilios.edge import errors
from ilios.edge.connections import LOOKS
from ilios.edge.keys import EDGE
from ilios.faults import Faults

STATIC = frozenset({"/", "/docs", "/openapi.json"})
"""What is answered without anything that could have a fault."""
CHANGING = frozenset({"DELETE", "PATCH", "POST", "PUT"})


@web.middleware
async def refuse_while_they_stand(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 503 to everything but health checks and static pages.

    What changes something is looked at again when it is done: where a fault was found meanwhile,
    nobody is promised anything.
    """
    if request.path in LOOKS or request.path in STATIC or request.path.startswith("/docs/"):
        return await handler(request)
    edge = request.app[EDGE]
    _refuse(edge.faults)
    response = await handler(request)
    if request.method in CHANGING and not response.prepared:
        edge.look_for_faults()
        _refuse(edge.faults)
    return response


def _refuse(faults: Faults) -> None:
    if faults.blocking is not None:
        raise errors.not_ready()
