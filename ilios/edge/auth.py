"""Who asks: API keys, each its own tenant."""

import hmac
from collections.abc import Iterable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ilios.edge import signed_urls
from ilios.edge.errors import Refused
from ilios.edge.keys import TENANT
from ilios.edge.wrong_keys import WrongKeys
from ilios.tenants import digest_of, tenant_by, tenant_of
from schemas.ids import DEFAULT_TENANT

__all__ = ["OPEN_PATHS", "authenticate", "tenant_of"]

OPEN_PATHS = frozenset({"/", "/health", "/livez", "/readyz", "/docs", "/openapi.json"})
OPEN_PREFIX = "/docs/"
"""Where the files of the pages lie that anybody may see."""


def authenticate(api_keys: Iterable[str]) -> Middleware:
    """Return the middleware that knows ``api_keys``; with none everything is open."""
    known = [(digest, tenant_by(digest)) for digest in map(digest_of, api_keys)]
    wrong_keys = WrongKeys()

    @web.middleware
    async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not known:
            request[TENANT] = DEFAULT_TENANT
        elif not _is_open(request):
            request[TENANT] = _recognise(request, known, wrong_keys)
        return await handler(request)

    return authenticated


def _is_open(request: web.Request) -> bool:
    # An upload brings its right with it, in its URL: the handler looks at that before all else.
    signed = request.method == "PUT" and request.path.startswith(signed_urls.PREFIX)
    return signed or request.path in OPEN_PATHS or request.path.startswith(OPEN_PREFIX)


def _recognise(request: web.Request, known: list[tuple[bytes, str]], wrong_keys: WrongKeys) -> str:
    key = _offered(request)
    if key is None:  # which guesses nothing, so it is not counted
        raise _unauthorised("Missing or invalid authorization header")
    digest = digest_of(key)
    tenant = None
    # All are compared, always: the time must not tell which came close.
    for known_digest, known_tenant in known:
        if hmac.compare_digest(digest, known_digest):
            tenant = known_tenant
    if not wrong_keys.check(request.remote, tenant) or tenant is None:
        raise _unauthorised("Invalid API key")
    return tenant


def _offered(request: web.Request) -> str | None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return request.headers.get("X-Api-Key") or request.query.get("apiKey") or None


def _unauthorised(error: str) -> Refused:
    return Refused(401, "unauthorized", error, headers={"WWW-Authenticate": "Bearer"})
