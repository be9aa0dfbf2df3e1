"""Pages for people, and the descriptions of the interfaces.

Their files are part of the package and are served from memory; third-party ones are unchanged
(``assets/swagger-ui``, whose hashes a test compares with its ``VENDORED.json``). Nothing is read
before the first request of a page.
"""

import asyncio
import gzip
import hashlib
import html
import re
from functools import cache
from itertools import groupby
from pathlib import Path
from string import Template

import msgspec
from aiohttp import web
from msgspec import Struct

from ilios import __version__
from ilios.edge import asyncapi, health, openapi
from ilios.edge.context import EDGE
from ilios.edge.errors import HttpProblem
from ilios.edge.operation import JSON, OPERATIONS, TEXT, Operation, Response, operation
from ilios.edge.responses import json_response
from schemas.service_replies import Endpoint, Index

ASSETS_DIR = Path(__file__).with_name("assets")
VENDORED = ASSETS_DIR / "swagger-ui"

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
STATIC_FILES = {
    "docs.js": ASSETS_DIR / "docs.js",
    "icon.svg": ASSETS_DIR / "icon.svg",
    "index.js": ASSETS_DIR / "index.js",
    "pages.css": ASSETS_DIR / "pages.css",
    "swagger-ui-bundle.js": VENDORED / "swagger-ui-bundle.js",
    "swagger-ui.css": VENDORED / "swagger-ui.css",
}
"""Names under ``/docs/{edition}/``; other files of the folder are not served."""

_VERSION_DIGITS = 12


class StaticFile(Struct, frozen=True):
    """A response body, and its gzip form for clients that accept that."""

    body: bytes
    gzipped: bytes
    content_type: str
    etag: str


def make_file(body: bytes, suffix: str) -> StaticFile:
    """Return a file of these bytes."""
    # A timestamp would make another file of the same bytes.
    gzipped = gzip.compress(body, mtime=0)
    return StaticFile(body, gzipped, TYPES[suffix], hashlib.sha256(body).hexdigest())


@cache
def static_file(name: str) -> StaticFile:
    """Return a file by its name in ``STATIC_FILES``. Reads and compresses once, in a thread."""
    path = STATIC_FILES[name]
    return make_file(path.read_bytes(), path.suffix)


@cache
def assets_version() -> str:
    """Return a digest of all files: URLs that contain it can be cached for ever."""
    digest = hashlib.sha256()
    for name, path in sorted(STATIC_FILES.items()):
        digest.update(name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:_VERSION_DIGITS]


@cache
def template(name: str) -> Template:
    """Return the template of a page."""
    return Template((ASSETS_DIR / name).read_text("utf-8"))


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


@operation(
    "GET",
    "/asyncapi.json",
    name="busDescription",
    tag=health.TAG,
    summary="The description of the interface on NATS (AsyncAPI 3.1)",
    public=True,
    responses={
        200: Response(
            description="The description.",
            content={JSON: {"type": "object", "required": ["asyncapi", "channels"]}},
            headers=("Cache-Control", "ETag", "Vary"),
        )
    },
)
async def bus_description(request: web.Request) -> web.StreamResponse:
    """``GET /asyncapi.json``: the description of the events on the bus."""
    return await _send(request, await asyncio.to_thread(_bus_description), REVALIDATED)


async def file(request: web.Request) -> web.StreamResponse:
    """Answer with a file of a page; its address changes with its content.

    :raises HttpProblem: there is no such file, or not in this edition.
    """
    name, asked = request.match_info["name"], request.match_info["edition"]
    if name not in STATIC_FILES or asked != await asyncio.to_thread(assets_version):
        raise HttpProblem(404, "route_not_found", "There is nothing at this address")
    return await _send(request, await asyncio.to_thread(static_file, name), IMMUTABLE)


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
    cached = request.if_none_match or ()
    if any(f'"{one.value}"' == tag or one.value == "*" for one in cached):
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
    return make_file(msgspec.json.encode(openapi.describe(operations)), ".json")


@cache
def _bus_description() -> StaticFile:
    return make_file(msgspec.json.encode(asyncapi.describe()), ".json")


@cache
def _docs_page() -> StaticFile:
    page = template("docs.html").substitute(edition=assets_version())
    return make_file(page.encode(), ".html")


def _index_page(operations: tuple[Operation, ...], command: str) -> StaticFile:
    page = template("index.html").substitute(
        edition=assets_version(),
        version=html.escape(__version__),
        command=html.escape(command),
        operations=_tables(operations),
    )
    return make_file(page.encode(), ".html")


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
    """Return a line to try; the page's script puts in the address as the browser has it."""
    edge = request.app[EDGE]
    origin = edge.public_url or f"{request.scheme}://{request.host}"
    key = ' -H "Authorization: Bearer $API_KEY"' if edge.api_keys else ""
    return f"curl -F file=@report.pdf{key} {origin}/v1/convert"
