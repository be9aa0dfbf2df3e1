"""Who asks: API keys, each its own tenant."""

import hashlib
import hmac
from collections.abc import Iterable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ilios.edge.errors import Refused
from ilios.edge.keys import TENANT
from schemas.ids import DEFAULT_TENANT

OPEN_PATHS = frozenset({"/", "/health", "/livez", "/readyz", "/docs", "/openapi.json"})

_TENANT_DIGITS = 16  # 64 bits of the key's hash


def tenant_of(key: str) -> str:
    """Return the tenant a key stands for; the key cannot be told from it."""
    return _tenant(_hash(key))


def authenticate(api_keys: Iterable[str]) -> Middleware:
    """Return the middleware that knows ``api_keys``; with none everything is open."""
    known = [(digest, _tenant(digest)) for digest in map(_hash, api_keys)]

    @web.middleware
    async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not known:
            request[TENANT] = DEFAULT_TENANT
        elif request.path not in OPEN_PATHS:
            request[TENANT] = _recognise(request, known)
        return await handler(request)

    return authenticated


def _recognise(request: web.Request, known: list[tuple[bytes, str]]) -> str:
    key = _offered(request)
    if key is None:
        raise _unauthorised("Missing or invalid authorization header")
    digest = _hash(key)
    tenant = None
    # All are compared, always: the time must not tell which came close.
    for known_digest, known_tenant in known:
        if hmac.compare_digest(digest, known_digest):
            tenant = known_tenant
    if tenant is None:
        raise _unauthorised("Invalid API key")
    return tenant


def _offered(request: web.Request) -> str | None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return request.headers.get("X-Api-Key") or request.query.get("apiKey") or None


def _unauthorised(error: str) -> Refused:
    return Refused(401, "unauthorized", error, headers={"WWW-Authenticate": "Bearer"})


def _hash(key: str) -> bytes:
    # Header bytes that are not UTF-8 arrive as surrogates.
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _tenant(digest: bytes) -> str:
    return "k" + digest.hex()[:_TENANT_DIGITS]
