"""Preferences of a request (``Prefer``, RFC 7240); those that are not understood are ignored."""

from collections.abc import Iterator

from aiohttp import web
from msgspec import Struct

from ilios.edge.operation import Parameter

HEADER = "Prefer"
APPLIED_HEADER = "Preference-Applied"
WAIT = "wait"
RESPOND_ASYNC = "respond-async"
CANCEL_ON_DISCONNECT = "cancel-on-disconnect"
MAX_DIGITS = 9

APPLIED = web.RequestKey("preferences_applied", tuple)
"""The preferences that a successful answer names as applied."""


def describe(description: str) -> Parameter:
    """Return the description of the header for an operation."""
    return Parameter(
        name=HEADER, location="header", description=description, schema={"type": "string"}
    )


class Preferences(Struct, frozen=True):
    """What a client prefers; ``wait`` is in seconds."""

    wait: int | None = None
    respond_async: bool = False
    cancel_on_disconnect: bool = False

    def wait_within(self, limit: float, default: float) -> float:
        """Return how many seconds to wait for the end: not more than the limit."""
        if self.wait is not None:
            return min(self.wait, limit)
        return 0.0 if self.respond_async else default


def parse(request: web.Request) -> Preferences:
    """Return the preferences of a request; of one given several times the first counts."""
    given: dict[str, str] = {}
    for header in request.headers.getall(HEADER, []):
        for one in _split(header):
            name, _, value = one.partition(";")[0].partition("=")
            given.setdefault(name.strip().lower(), value.strip().strip('"'))
    wait = given.get(WAIT, "")
    is_number = wait.isascii() and wait.isdigit() and len(wait) <= MAX_DIGITS
    return Preferences(
        wait=int(wait) if is_number else None,
        respond_async=RESPOND_ASYNC in given,
        cancel_on_disconnect=CANCEL_ON_DISCONNECT in given,
    )


def mark_applied(request: web.Request, wanted: Preferences, waited: float) -> None:
    """Have a successful answer name the preferences that were applied."""
    applied = []
    if wanted.wait is not None:
        applied.append(f"{WAIT}={waited:.0f}")
    elif wanted.respond_async:
        applied.append(RESPOND_ASYNC)
    if wanted.cancel_on_disconnect:
        applied.append(CANCEL_ON_DISCONNECT)
    request[APPLIED] = tuple(applied)


async def add_applied(request: web.Request, response: web.StreamResponse) -> None:
    """Name the preferences that were applied (``on_response_prepare``)."""
    if (applied := request.get(APPLIED)) and response.status < 300:
        response.headers[APPLIED_HEADER] = ", ".join(applied)


def _split(header: str) -> Iterator[str]:
    """Yield the members of a list, which commas separate outside of quotes."""
    began, quoted, escaped = 0, False, False
    for place, character in enumerate(header):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            yield header[began:place]
            began = place + 1
    yield header[began:]
