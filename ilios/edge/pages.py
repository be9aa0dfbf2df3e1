"""Pages for people, and the description of the interface: ``/``, ``/docs``, ``/openapi.json``."""

import asyncio
import html
import re
from functools import cache
from itertools import groupby

import msgspec
from aiohttp import web

from ilios import __version__
from ilios.edge import health, openapi, static_files
from ilios.edge.context import EDGE
from ilios.edge.errors import HttpProblem
from ilios.edge.operation import JSON, OPERATIONS, TEXT, Operation, Response, operation
from ilios.edge.responses import json_response
from ilios.edge.static_files import StaticFile
from schemas.replies import Endpoint, Index

FILES_PATH = "/docs/{edition}/{name}"

PAGE_HEADERS = {
    # No page loads from another host, is framed, or runs anything but its own files.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
REVALIDATED = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
IMMUTABLE = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
}

_WEIGHT = re.compile(r"q\s*=\s*([01](?:\.\d{0,3})?)", re.IGNORECASE)


@operation(
    "GET",
    "/",
    name="index",
    tag=health.TAG,
    summary="The list of operations",
    description="JSON for programs, a page for those whose `Accept` prefers `text/html`.",
    public=True,
    responses={
        200: Response(
            description="The list of operations.",
            content={JSON: Index, "text/html": TEXT},
            headers=("Cache-Control", "ETag", "Vary"),
        )
    },
)
async def index(request: web.Request) -> web.StreamResponse:
    """Answer with the operations: as a page where ``Accept`` prefers one, otherwise as JSON."""
    if not prefers_html(request.headers.get("Accept", "")):
        return json_response(_index(request), headers=REVALIDATED | {"Vary": "Accept"})
    page = await asyncio.to_thread(_index_page, request.app[OPERATIONS], _curl_example(request))
    return await _send(request, page, PAGE_HEADERS | REVALIDATED, "Accept, Accept-Encoding")


@operation(
    "GET",
    "/docs",
    name="docs",
    tag=health.TAG,
    summary="The page to read this description and try it out",
    public=True,
    responses={
        200: Response(
            description="A page that loads nothing from other hosts.",
            content={"text/html": TEXT},
            headers=("Cache-Control", "ETag", "Vary"),
        )
    },
)
async def docs(request: web.Request) -> web.StreamResponse:
    """``GET /docs``: Swagger UI, from here and nowhere else."""
    return await _send(request, await asyncio.to_thread(_docs_page), PAGE_HEADERS | REVALIDATED)


@operation(
    "GET",
    "/openapi.json",
    name="description",
    tag=health.TAG,
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
async def description(request: web.Request) -> web.StreamResponse:
    """``GET /openapi.json``: the description of all that is served."""
    return await _send(
        request, await asyncio.to_thread(_description, request.app[OPERATIONS]), REVALIDATED
    )


async def file(request: web.Request) -> web.StreamResponse:
    """Answer with a file of a page; its address changes with its content.

    :raises HttpProblem: there is no such file, or not in this edition.
    """
    name, asked = request.match_info["name"], request.match_info["edition"]
    if name not in static_files.STATIC_FILES or asked != await asyncio.to_thread(
        static_files.assets_version
    ):
        raise HttpProblem(404, "route_not_found", "There is nothing at this address")
    return await _send(request, await asyncio.to_thread(static_files.static_file, name), IMMUTABLE)


def prefers_html(accept: str) -> bool:
    """Whether this ``Accept`` prefers HTML to JSON, as browsers do."""
    weights = {}
    for choice in accept.split(","):
        kind, _, rest = choice.partition(";")
        weight = _WEIGHT.search(rest)
        weights[kind.strip().lower()] = float(weight[1]) if weight else 1.0
    html_weight = max(weights.get("text/html", 0.0), weights.get("application/xhtml+xml", 0.0))
    if (json_weight := weights.get("application/json")) is not None:
        return html_weight > json_weight
    return 0 < html_weight >= weights.get("*/*", 0.0)


async def _send(
    request: web.Request, found: StaticFile, headers: dict[str, str], vary: str = "Accept-Encoding"
) -> web.StreamResponse:
    """Answer with a file: packed to those who take it, not at all to those who have it."""
    use_gzip = _accepts_gzip(request.headers.get("Accept-Encoding", ""))
    tag = f'"{found.etag}{"-gzip" if use_gzip else ""}"'
    headers = headers | {"ETag": tag, "Vary": vary}
    known = request.if_none_match or ()
    if any(f'"{one.value}"' == tag or one.value == "*" for one in known):
        return web.Response(status=304, headers=headers)
    headers |= {"Content-Type": found.content_type}
    if use_gzip:
        headers |= {"Content-Encoding": "gzip"}
    return web.Response(body=found.gzipped if use_gzip else found.body, headers=headers)


def _accepts_gzip(accept: str) -> bool:
    for choice in accept.split(","):
        kind, _, rest = choice.partition(";")
        if kind.strip().lower() == "gzip":
            weight = _WEIGHT.search(rest)
            return weight is None or float(weight[1]) > 0
    return False


def _index(request: web.Request) -> Index:
    endpoints = [
        Endpoint(method=operation.method, path=operation.path, description=operation.summary)
        for operation in request.app[OPERATIONS]
    ]
    return Index(name="ilios", version=__version__, endpoints=endpoints)


@cache
def _description(operations: tuple[Operation, ...]) -> StaticFile:
    return static_files.make_file(msgspec.json.encode(openapi.describe(operations)), ".json")


@cache
def _docs_page() -> StaticFile:
    page = static_files.template("docs.html").substitute(edition=static_files.assets_version())
    return static_files.make_file(page.encode(), ".html")


def _index_page(operations: tuple[Operation, ...], command: str) -> StaticFile:
    page = static_files.template("index.html").substitute(
        edition=static_files.assets_version(),
        version=html.escape(__version__),
        command=html.escape(command),
        operations=_tables(operations),
    )
    return static_files.make_file(page.encode(), ".html")


@cache
def _tables(operations: tuple[Operation, ...]) -> str:
    """Return a table of operations for each tag."""
    tables = []
    for tag, group in groupby(operations, key=lambda operation: operation.tag):
        rows = "\n".join(
            f'<tr><td>{operation.method}</td><td class="path">'
            f'<a href="/docs#/{tag}/{operation.name}">{html.escape(operation.path)}</a></td>'
            f"<td>{html.escape(operation.summary)}</td></tr>"
            for operation in group
        )
        tables.append(f'<h2>{tag}</h2>\n<table class="operations">\n{rows}\n</table>')
    return "\n".join(tables)


def _curl_example(request: web.Request) -> str:
    """Return a line to try; the page's script puts in the address as the browser knows it."""
    edge = request.app[EDGE]
    origin = edge.public_url or f"{request.scheme}://{request.host}"
    key = ' -H "Authorization: Bearer $API_KEY"' if edge.api_keys else ""
    return f"curl -F file=@report.pdf{key} {origin}/v1/convert"
