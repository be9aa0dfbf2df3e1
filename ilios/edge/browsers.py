"""Protection of an open service against pages in the browsers of its users."""

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web

from ilios.edge.context import EDGE
from ilios.edge.errors import HttpProblem


def check_browser(request: web.Request) -> None:
    """Let pass a request that no page of another site can have made.

    Without keys a browser behind the firewall would lend its reach to any page it shows: the page
    posts an address, and the service fetches it. ``Host`` is looked at because a name that a page
    controls can be made to point here (DNS rebinding).

    :raises HttpProblem: it may come from one (403).
    """
    edge = request.app[EDGE]
    if edge.api_keys:
        return
    host_header = request.headers.get("Host", "").lower()
    public = urlsplit(edge.public_url or "")
    host = _host_name(host_header)
    if not (
        _is_address(host)
        or host == "localhost"
        or (host and host in {public.hostname, *map(str.lower, edge.allowed_hosts)})
    ):
        raise HttpProblem(
            403,
            "host_not_allowed",
            "Documents are not fetched by URL for this Host without an API key",
            detail=f'The Host "{host[:255]}" is not configured; the operator can name it in '
            "ILIOS_ALLOWED_HOSTS or ILIOS_PUBLIC_URL, or set API_KEY.",
        )
    origin = request.headers.get("Origin")
    if origin is None:
        return
    own = {f"{scheme}://{host_header}" for scheme in ("http", "https")}
    if public.netloc:
        own.add(f"{public.scheme}://{public.netloc}".lower())
    allowed = {one.lower().rstrip("/") for one in edge.allowed_origins}
    if origin.lower() not in own | allowed:
        raise HttpProblem(
            403,
            "origin_not_allowed",
            "Documents are not fetched by URL for pages of this Origin without an API key",
            detail=f'The Origin "{origin[:255]}" is another one than the service\'s; the operator '
            "can name it in ILIOS_ALLOWED_ORIGINS, or set API_KEY.",
        )


def _host_name(host: str) -> str:
    """Return a ``Host`` without its port; an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
