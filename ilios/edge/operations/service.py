"""The service itself: whether it is well, and what it can be asked."""

from ilios.edge.operations.table import JSON, TEXT, Operation, Response
from schemas.replies import Alive, Health, Index

TAG = "Service"

_HEALTH = {
    200: Response(
        description="Everything works.", content={JSON: Health}, headers=("Cache-Control",)
    ),
    503: Response(
        description="Something does not; `error` says what.",
        content={JSON: Health},
        headers=("Cache-Control",),
    ),
}
_HTML = "text/html"

INDEX = Operation(
    name="index",
    method="GET",
    path="/",
    tag=TAG,
    summary="What can be asked here",
    description="JSON for programs, a page for those whose `Accept` prefers `text/html`.",
    public=True,
    responses={
        200: Response(
            description="The list of operations.",
            content={JSON: Index, _HTML: TEXT},
            headers=("Cache-Control", "ETag", "Vary"),
        )
    },
)

HEALTH = Operation(
    name="health",
    method="GET",
    path="/health",
    tag=TAG,
    summary="Whether the service works",
    description="Bus, writer, database and engine are asked, and whether there is room.",
    public=True,
    responses=_HEALTH,
)

LIVE = Operation(
    name="live",
    method="GET",
    path="/livez",
    tag=TAG,
    summary="Whether the process answers",
    public=True,
    responses={
        200: Response(description="It does.", content={JSON: Alive}, headers=("Cache-Control",))
    },
)

READY = Operation(
    name="ready",
    method="GET",
    path="/readyz",
    tag=TAG,
    summary="Whether requests should be sent here",
    public=True,
    responses=_HEALTH,
)

DESCRIPTION = Operation(
    name="description",
    method="GET",
    path="/openapi.json",
    tag=TAG,
    summary="This description (OpenAPI 3.1)",
    public=True,
    responses={
        200: Response(
            description="The description.",
            content={JSON: {"type": "object", "required": ["openapi", "paths"]}},
            headers=("Cache-Control", "ETag", "Vary"),
        )
    },
)

DOCS = Operation(
    name="docs",
    method="GET",
    path="/docs",
    tag=TAG,
    summary="The page to read this description and try it out",
    public=True,
    responses={
        200: Response(
            description="A page that asks nothing of other hosts.",
            content={_HTML: TEXT},
            headers=("Cache-Control", "ETag", "Vary"),
        )
    },
)

OPERATIONS = (INDEX, HEALTH, LIVE, READY, DESCRIPTION, DOCS)
