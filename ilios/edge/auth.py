"""Who asks: API keys, each its own tenant."""

import hmac
from collections.abc import Iterable, Mapping

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ilios.api_keys import key_digest, tenant_of, tenant_of_digest
from ilios.edge import signed_urls
from ilios.edge.auth_limiter import FailedAuthLimiter
from ilios.edge.connection import mark_authenticated
from ilios.edge.context import TENANT
from ilios.edge.errors import HttpProblem
from schemas.ids import DEFAULT_TENANT

__all__ = ["API_KEYS", "PUBLIC_PATHS", "ApiKeys", "auth_middleware", "tenant_of"]

PUBLIC_PATHS = frozenset({"/", "/health", "/livez", "/readyz", "/docs", "/openapi.json"})
PUBLIC_PREFIX = "/docs/"
"""Where the files of the pages lie that anybody may see."""


class ApiKeys:
    """The keys that open the service; with none everything is open."""

    def __init__(self, api_keys: Iterable[str]) -> None:
        self._tenants = [(digest, tenant_of_digest(digest)) for digest in map(key_digest, api_keys)]
        self._limiter = FailedAuthLimiter()

    @property
    def required(self) -> bool:
        """Whether there are any."""
        return bool(self._tenants)

    def authenticate(self, request: web.Request) -> str:
        """Return whose key the request came with.

        :raises Refused: nobody's (401), or too many from there were wrong (429).
        """
        key = _key_from_request(request.headers, request.query)
        if key is None:  # which guesses nothing, so it is not counted
            raise _unauthorized("Missing or invalid authorization header")
        tenant = self._tenant_of(key)
        if not self._limiter.record(request.remote, tenant) or tenant is None:
            raise _unauthorized("Invalid API key")
        return tenant

    def accepts(self, headers: Mapping[str, str], query: Mapping[str, str], remote: str) -> bool:
        """Whether a request would be recognised; nothing is counted, and a guesser learns nothing.

        The query may hold a key, as in ``recognise``.
        """
        key = _key_from_request(headers, query)
        tenant = None if key is None else self._tenant_of(key)
        return tenant is not None and self._limiter.would_accept(remote, tenant)

    def _tenant_of(self, key: str) -> str | None:
        digest = key_digest(key)
        tenant = None
        # All are compared, always: the time must not tell which came close.
        for known_digest, known_tenant in self._tenants:
            if hmac.compare_digest(digest, known_digest):
                tenant = known_tenant
        return tenant


API_KEYS = web.AppKey("known_keys", ApiKeys)


def auth_middleware(keys: ApiKeys) -> Middleware:
    """Return the middleware that finds out who asks."""

    @web.middleware
    async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not keys.required:
            request[TENANT] = DEFAULT_TENANT
        elif not _is_public(request):
            request[TENANT] = keys.authenticate(request)
            mark_authenticated(request)
        elif keys.accepts(request.headers, request.query, request.remote or ""):
            mark_authenticated(request)
        return await handler(request)

    return authenticated


def _is_public(request: web.Request) -> bool:
    # An upload brings its right with it, in its URL: the handler looks at that before all else.
    signed = request.method == "PUT" and request.path.startswith(signed_urls.PREFIX)
    return signed or request.path in PUBLIC_PATHS or request.path.startswith(PUBLIC_PREFIX)


def _key_from_request(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    scheme, _, key = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return headers.get("X-Api-Key") or query.get("apiKey") or None


def _unauthorized(error: str) -> HttpProblem:
    return HttpProblem(401, "unauthorized", error, headers={"WWW-Authenticate": "Bearer"})
