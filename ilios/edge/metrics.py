"""``/metrics``: on the port of the service with a key of its own, or on another port."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from ilios.edge.auth import ApiKeys
from ilios.edge.middleware import METRICS_PATH
from ilios.metrics.exposition import Exposition


def add_metrics(app: web.Application, exposition: Exposition, key: str | None) -> None:
    """Answer scrapes in an application; with a key only those that have it."""
    app.router.add_get(METRICS_PATH, _handler(exposition, ApiKeys((key,) if key else ())))


def _handler(
    exposition: Exposition, keys: ApiKeys
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def metrics(request: web.Request) -> web.StreamResponse:
        if keys.required:
            keys.authenticate(request)
        text = await exposition(request.headers.get("Accept", ""))
        headers = {"Content-Type": text.content_type, "Cache-Control": "no-store"}
        return web.Response(body=text.body, headers=headers)

    return metrics
