"""Health checks for operators, supervisors and load balancers."""

import asyncio
from datetime import UTC, datetime

import structlog
from aiohttp import web

from ilios import __version__
from ilios.edge.context import EDGE
from ilios.edge.errors import not_ready
from ilios.edge.operation import JSON, Response, operation
from ilios.edge.responses import json_response
from schemas.replies import format_instant
from schemas.service_replies import Alive, Health, HealthReport

log = structlog.get_logger("edge")


TAG = "Service"

_RESPONSES = {
    200: Response(
        description="Everything works.", content={JSON: Health}, headers=("Cache-Control",)
    ),
    503: Response(
        description="Something does not; `error` has the reasons.",
        content={JSON: Health},
        headers=("Cache-Control",),
    ),
}


# Probes add parameters of their own, and a refusal would take the service out of rotation.
@operation(
    "GET",
    "/health",
    name="health",
    tag=TAG,
    summary="Whether the service works",
    description="Checks bus, writer, database, engine and free space.",
    public=True,
    any_query=True,
    responses=_RESPONSES,
)
async def health(request: web.Request) -> web.StreamResponse:
    """Answer 200 when everything works, otherwise 503 with the reasons."""
    return health_response(await _report(request))


def health_response(report: HealthReport) -> web.Response:
    """Return 200 when everything works, otherwise 503 with the problems."""
    body = Health(
        status="healthy" if report.healthy else "unhealthy",
        version=__version__,
        timestamp=format_instant(datetime.now(UTC)),
        services=report.services,
        error=None if report.healthy else "; ".join(report.problems) or "not healthy",
    )
    return json_response(body, 200 if report.healthy else 503, {"Cache-Control": "no-store"})


@operation(
    "GET",
    "/readyz",
    name="ready",
    tag=TAG,
    summary="Whether requests should be sent here",
    public=True,
    any_query=True,
    responses=_RESPONSES,
)
async def ready(request: web.Request) -> web.StreamResponse:
    """Answer as ``/health``; load balancers send requests only while it is 200."""
    return await health.handler(request)


@operation(
    "GET",
    "/livez",
    name="live",
    tag=TAG,
    summary="Whether the process answers",
    public=True,
    any_query=True,
    responses={
        200: Response(description="It does.", content={JSON: Alive}, headers=("Cache-Control",))
    },
)
async def live(request: web.Request) -> web.StreamResponse:
    """Answer 200 whenever the process can answer, and that of the core where it is another one.

    :raises HttpProblem: the core hangs (503).
    """
    edge = request.app.get(EDGE)  # none during the start
    if edge is not None and not edge.is_alive():
        raise not_ready()
    return json_response({"status": "alive"}, headers={"Cache-Control": "no-store"})


async def _report(request: web.Request) -> HealthReport:
    edge = request.app[EDGE]
    try:
        async with asyncio.timeout(edge.limits.health_timeout):
            return await edge.health()
    except TimeoutError:
        problem = "the health check did not finish in time"
    except Exception as error:
        log.exception("health check failed", exc_info=error)
        problem = "the health check failed"
    return HealthReport(services={}, healthy=False, problems=[problem])
