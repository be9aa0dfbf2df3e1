"""Who asks: API keys, each its own tenant."""

import hmac
from collections.abc import Iterable, Mapping

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ilios.edge import signed_urls
from ilios.edge.connection import show_key
from ilios.edge.errors import Refused
from ilios.edge.keys import TENANT
from ilios.edge.wrong_keys import WrongKeys
from ilios.tenants import digest_of, tenant_by, tenant_of
from schemas.ids import DEFAULT_TENANT

__all__ = ["KNOWN_KEYS", "OPEN_PATHS", "KnownKeys", "authenticate", "tenant_of"]

OPEN_PATHS = frozenset({"/", "/health", "/livez", "/readyz", "/docs", "/openapi.json"})
OPEN_PREFIX = "/docs/"
"""Where the files of the pages lie that anybody may see."""


class KnownKeys:
    """The keys that open the service; with none everything is open."""

    def __init__(self, api_keys: Iterable[str]) -> None:
        self._known = [(digest, tenant_by(digest)) for digest in map(digest_of, api_keys)]
        self._wrong = WrongKeys()

    @property
    def are_needed(self) -> bool:
        """Whether there are any."""
        return bool(self._known)

    def recognise(self, request: web.Request) -> str:
        """Return whose key the request came with.

        :raises Refused: nobody's (401), or too many from there were wrong (429).
        """
        key = _offered(request.headers, request.query)
        if key is None:  # which guesses nothing, so it is not counted
            raise _unauthorised("Missing or invalid authorization header")
        tenant = self._tenant_of(key)
        if not self._wrong.check(request.remote, tenant) or tenant is None:
            raise _unauthorised("Invalid API key")
        return tenant

    def would_open(self, headers: Mapping[str, str], query: Mapping[str, str], remote: str) -> bool:
        """Whether a request would be recognised; nothing is counted, and a guesser learns nothing.

        The query may hold a key, as in ``recognise``.
        """
        key = _offered(headers, query)
        tenant = None if key is None else self._tenant_of(key)
        return tenant is not None and self._wrong.may_try(remote, tenant)

    def _tenant_of(self, key: str) -> str | None:
        digest = digest_of(key)
        tenant = None
        # All are compared, always: the time must not tell which came close.
        for known_digest, known_tenant in self._known:
            if hmac.compare_digest(digest, known_digest):
                tenant = known_tenant
        return tenant


KNOWN_KEYS = web.AppKey("known_keys", KnownKeys)


def authenticate(keys: KnownKeys) -> Middleware:
    """Return the middleware that finds out who asks."""

    @web.middleware
    async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not keys.are_needed:
            request[TENANT] = DEFAULT_TENANT
        elif not _is_open(request):
            request[TENANT] = keys.recognise(request)
            show_key(request)
        elif keys.would_open(request.headers, request.query, request.remote or ""):
            show_key(request)
        return await handler(request)

    return authenticated


def _is_open(request: web.Request) -> bool:
    # An upload brings its right with it, in its URL: the handler looks at that before all else.
    signed = request.method == "PUT" and request.path.startswith(signed_urls.PREFIX)
    return signed or request.path in OPEN_PATHS or request.path.startswith(OPEN_PREFIX)


def _offered(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    scheme, _, key = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return headers.get("X-Api-Key") or query.get("apiKey") or None


def _unauthorised(error: str) -> Refused:
    return Refused(401, "unauthorized", error, headers={"WWW-Authenticate": "Bearer"})
