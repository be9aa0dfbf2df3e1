"""Is the service well? Asked by operators, by what restarts it, and by what routes to it."""

import asyncio
from datetime import UTC, datetime

import structlog
from aiohttp import web

from ilios import __version__
from ilios.edge.context import EDGE
from ilios.edge.responses import json_response
from schemas.replies import Health, HealthReport, format_instant

log = structlog.get_logger("edge")


async def health(request: web.Request) -> web.StreamResponse:
    """``GET /health``: 200 when everything works, else 503 with what does not."""
    report = await _report(request)
    body = Health(
        status="healthy" if report.healthy else "unhealthy",
        version=__version__,
        timestamp=format_instant(datetime.now(UTC)),
        services=report.services,
        error=None if report.healthy else "; ".join(report.problems) or "not healthy",
    )
    return json_response(body, 200 if report.healthy else 503, {"Cache-Control": "no-store"})


async def ready(request: web.Request) -> web.StreamResponse:
    """``GET /readyz``: as ``/health``; requests should be sent here only while it is 200."""
    return await health(request)


async def live(_request: web.Request) -> web.StreamResponse:
    """``GET /livez``: 200 whenever the process answers at all."""
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
