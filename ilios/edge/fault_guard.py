"""Refuses requests while a fault stands with which answers would be wrong, or stored nowhere."""

from aiohttp import web
from aiohttp.typedefs import Handler

from ilios.edge import errors
from ilios.edge.context import EDGE
from ilios.edge.server import HEALTH_PATHS
from ilios.integrity.faults import Faults

STATIC_PATHS = frozenset({"/", "/docs", "/openapi.json"})
"""What is answered without anything that could have a fault."""
WRITE_METHODS = frozenset({"DELETE", "PATCH", "POST", "PUT"})


@web.middleware
async def reject_while_faulty(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 503 to everything but health checks and static pages.

    What changes something is looked at again when it is done: where a fault was found meanwhile,
    nobody is promised anything.
    """
    if (
        request.path in HEALTH_PATHS
        or request.path in STATIC_PATHS
        or request.path.startswith("/docs/")
    ):
        return await handler(request)
    edge = request.app[EDGE]
    _raise_if_blocked(edge.faults)
    response = await handler(request)
    if request.method in WRITE_METHODS and not response.prepared:
        edge.check_faults()
        _raise_if_blocked(edge.faults)
    return response


def _raise_if_blocked(faults: Faults) -> None:
    if faults.blocking is not None:
        raise errors.not_ready()
