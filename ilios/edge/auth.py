"""Authentication by API keys, each of which is a tenant, and a limit for guessing them.

An address may send a number of wrong keys. After that every key from there is refused for some
time, a right one too, or a guesser would learn of it. Keys that were right from that address before
are accepted as ever: many clients share the address of a router or a proxy.
"""

import hmac
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ilios.api_keys import key_digest, tenant_of, tenant_of_digest
from ilios.edge import signed_urls
from ilios.edge.connection import mark_authenticated
from ilios.edge.connection_limiter import network_of
from ilios.edge.context import TENANT
from ilios.edge.errors import HttpProblem
from ilios.edge.events.tickets import ticket_tenant
from ilios.edge.middleware import HEALTH_PATHS, STATIC_PATHS, STATIC_PREFIX
from schemas.ids import DEFAULT_TENANT

__all__ = ["API_KEYS", "PUBLIC_PATHS", "ApiKeys", "auth_middleware", "tenant_of"]

PUBLIC_PATHS = HEALTH_PATHS | STATIC_PATHS
"""Paths that need no key, beside those under ``STATIC_PREFIX``."""
BURST = 20
"""Wrong keys an address may send one after the other."""
REFILL_PER_SECOND = BURST / 60
"""How fast that number is refilled."""
MAX_ENTRIES = 10_000
"""Addresses with wrong keys, and pairs of address and tenant with right ones; the oldest go."""

log = structlog.get_logger("edge")


class FailedAuthLimiter:
    """Counts wrong keys by address. ``clock`` gives seconds."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, max_entries: int = MAX_ENTRIES
    ) -> None:
        self._clock = clock
        self._max_entries = max_entries
        self._tokens: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._succeeded: OrderedDict[tuple[str, str], None] = OrderedDict()

    def would_accept(self, remote: str, tenant: str) -> bool:
        """Whether ``record`` would accept the key of ``tenant`` from there; nothing is counted."""
        address = network_of(remote)
        return (address, tenant) in self._succeeded or self._tokens_of(address) >= 1

    def record(self, remote: str | None, tenant: str | None) -> bool:
        """Return whether the key was right; ``tenant`` is its tenant, None if it is wrong.

        :raises HttpProblem: too many were wrong (429).
        """
        address = network_of(remote or "")
        if tenant is not None and (address, tenant) in self._succeeded:
            self._succeeded.move_to_end((address, tenant))
            return True
        left = self._tokens_of(address)
        if left < 1:
            raise _too_many(math.ceil((1 - left) / REFILL_PER_SECOND))
        if tenant is None:
            self._tokens[address] = left - 1, self._clock()
            self._tokens.move_to_end(address)
            self._trim(self._tokens)
            if left < 2:
                log.warning("too many wrong keys", address=address)
            return False
        self._succeeded[address, tenant] = None
        self._trim(self._succeeded)
        return True

    def _tokens_of(self, address: str) -> float:
        left, since = self._tokens.get(address, (BURST, 0.0))
        return min(BURST, left + (self._clock() - since) * REFILL_PER_SECOND)

    def _trim(self, entries: OrderedDict[Any, Any]) -> None:
        while len(entries) > self._max_entries:
            entries.popitem(last=False)


class ApiKeys:
    """The valid API keys; without any, every request is the tenant "default"."""

    def __init__(self, api_keys: Iterable[str]) -> None:
        self._tenants = [(digest, tenant_of_digest(digest)) for digest in map(key_digest, api_keys)]
        self._limiter = FailedAuthLimiter()

    @property
    def required(self) -> bool:
        """Whether a key is needed."""
        return bool(self._tenants)

    def authenticate(self, request: web.Request) -> str:
        """Return the tenant of the request's key.

        :raises HttpProblem: no valid key (401), or too many wrong ones from its address (429).
        """
        key = _key_from_request(request.headers, request.query)
        if key is None:  # no guess, so it is not counted
            raise _unauthorized("Missing or invalid authorization header")
        tenant = self._tenant_of(key)
        if not self._limiter.record(request.remote, tenant) or tenant is None:
            raise _unauthorized("Invalid API key")
        return tenant

    def has(self, tenant: str) -> bool:
        """Whether there is a key of this tenant."""
        return any(tenant == its_tenant for _, its_tenant in self._tenants)

    def accepts(self, headers: Mapping[str, str], query: Mapping[str, str], remote: str) -> bool:
        """Whether a request would be authenticated; nothing is counted."""
        key = _key_from_request(headers, query)
        tenant = None if key is None else self._tenant_of(key)
        return tenant is not None and self._limiter.would_accept(remote, tenant)

    def _tenant_of(self, key: str) -> str | None:
        digest = key_digest(key)
        tenant = None
        # All are compared every time: the time taken must not show which came close.
        for valid_digest, its_tenant in self._tenants:
            if hmac.compare_digest(digest, valid_digest):
                tenant = its_tenant
        return tenant


API_KEYS = web.AppKey("known_keys", ApiKeys)


def auth_middleware(keys: ApiKeys) -> Middleware:
    """Return the middleware that finds the tenant of a request."""

    @web.middleware
    async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not keys.required:
            request[TENANT] = DEFAULT_TENANT
        elif not _is_public(request):
            tenant = ticket_tenant(request)
            if tenant is None or not keys.has(tenant):
                tenant = keys.authenticate(request)
            request[TENANT] = tenant
            mark_authenticated(request)
        elif keys.accepts(request.headers, request.query, request.remote or ""):
            mark_authenticated(request)
        return await handler(request)

    return authenticated


def _is_public(request: web.Request) -> bool:
    # An upload URL is signed; its handler checks the signature before all else.
    signed = request.method == "PUT" and request.path.startswith(signed_urls.PREFIX)
    return signed or request.path in PUBLIC_PATHS or request.path.startswith(STATIC_PREFIX)


def _key_from_request(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    scheme, _, key = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return headers.get("X-Api-Key") or query.get("apiKey") or None


def _unauthorized(error: str) -> HttpProblem:
    return HttpProblem(401, "unauthorized", error, headers={"WWW-Authenticate": "Bearer"})


def _too_many(seconds: int) -> HttpProblem:
    return HttpProblem(
        429,
        "too_many_wrong_keys",
        "Too many wrong API keys came from your address; try again later",
        headers={"Retry-After": str(seconds)},
    )
