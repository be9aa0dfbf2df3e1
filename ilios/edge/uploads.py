"""Receives uploads, whole or not at all: refused early, invited late, limited, discarded on errors.

An upload holds a slot while its body is read and stored, not while it is converted. Without a free
slot it waits a moment and is then refused, before its body is invited. A tenant with half of the
slots leaves some free for the others, for an upload that has begun is never broken off.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from aiohttp import HttpVersion11, web

from actors.ports import Blobs
from ilios.edge.context import EDGE, TENANT, Limits
from ilios.edge.errors import RETRY_AFTER, HttpProblem
from ilios.edge.multipart import UploadForm, UploadReader, UploadRules, media_type, too_large
from ilios.runtime.fair_semaphore import FairSemaphore

FORM_OVERHEAD = 2 * 1024 * 1024
"""How much longer than its files a form may be."""

RESERVED_SHARE = 8
"""One in so many slots, but at least one, is not for a tenant that has half of them."""

FORM_TYPE = "multipart/form-data"
_NOT_FILE_TYPES = ("multipart/", "application/x-www-form-urlencoded", "application/json")

log = structlog.get_logger("edge")


class UploadLimiter:
    """Grants ``capacity`` slots; ``timeout`` is in seconds."""

    def __init__(self, capacity: int, timeout: float, *, multi_tenant: bool) -> None:
        reserved = max(1, capacity // RESERVED_SHARE) if multi_tenant and capacity > 1 else 0
        self._slots = FairSemaphore(capacity, extra=0, reserved=reserved)
        self._timeout = timeout

    @asynccontextmanager
    async def slot(self, tenant: str) -> AsyncIterator[None]:
        """Hold a slot while the context is open.

        :raises HttpProblem: none was granted in time (503).
        """
        async with AsyncExitStack() as stack:
            slot = self._slots.slot(tenant=tenant, wait_timeout=self._timeout)
            try:
                await stack.enter_async_context(slot)
            except TimeoutError:
                raise _overloaded() from None
            yield


UPLOAD_LIMITER = web.AppKey("places", UploadLimiter)


async def defer_continue(_request: web.Request) -> None:
    """Leave ``Expect`` to ``send_continue``, so that a refused client never sends its body."""


async def receive(
    request: web.Request, rules: UploadRules, make_key: Callable[[int], str]
) -> UploadForm:
    """Store the documents of a request, the n-th under ``make_key(n)``; all of them or none.

    :raises HttpProblem: no file, too large, too slow, malformed, or too many are uploading.
    :raises StorageFull: there is no room for them, or it ends while they are stored.
    """
    edge = request.app[EDGE]
    _reject_early(request, edge.limits, rules)
    edge.disk_space.check(request.content_length or 0)
    async with request.app[UPLOAD_LIMITER].slot(request[TENANT]):
        await send_continue(request)
        reader = UploadReader(request, edge, rules, make_key)
        try:
            if _media_type(request) == FORM_TYPE:
                return await reader.read_form()
            return await reader.read_body()
        except BaseException:
            await discard(edge.blobs, *reader.written_keys)
            raise


def reject_compressed(request: web.Request) -> None:
    """Accept uncompressed bodies only: unpacked, one might be a bomb.

    :raises HttpProblem: it is compressed (415).
    """
    transferred = request.headers.get("Transfer-Encoding", "chunked")
    encoded = request.headers.get("Content-Encoding", "identity")
    if (transferred.lower(), encoded.lower()) != ("chunked", "identity"):
        raise HttpProblem(
            415,
            "encoding_unsupported",
            "Compressed request bodies are not supported",
            headers={"Accept-Encoding": "identity"},
        )


async def discard(blobs: Blobs, *keys: str) -> None:
    """Delete blobs of a refused request; one that cannot be deleted is left to the janitor."""
    # Shielded: or the upload of a client that hangs up now would stay in the store.
    await asyncio.shield(_discard(blobs, keys))


async def _discard(blobs: Blobs, keys: Iterable[str]) -> None:
    for key in keys:
        try:
            await blobs.delete(key)
        except Exception as error:  # noqa: BLE001  # the client gets the request's own error
            log.warning("upload not discarded", key=key, error=repr(error))


def _reject_early(request: web.Request, limits: Limits, rules: UploadRules) -> None:
    """Refuse requests whose header shows that they cannot be served."""
    reject_compressed(request)
    length, claimed = request.content_length or 0, _media_type(request)
    is_form = claimed == FORM_TYPE
    if length > rules.max_files * limits.max_file_bytes + (FORM_OVERHEAD if is_form else 0):
        raise too_large(length, limits)
    if not request.can_read_body or claimed is None:
        raise rules.no_file()
    if not is_form and (not rules.single or claimed.startswith(_NOT_FILE_TYPES)):
        raise rules.no_file()


def _media_type(request: web.Request) -> str | None:
    # Not request.content_type: there a header of 8 kB can cost half a second.
    return media_type(request.headers.get("Content-Type"))


async def send_continue(request: web.Request) -> None:
    """Send the ``100 Continue`` that ``defer_continue`` has held back."""
    expected = request.headers.get("Expect")
    if expected is None or request.version < HttpVersion11:
        return
    if expected.lower() != "100-continue":
        raise HttpProblem(417, "expectation_failed", "The expectation is not known")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _overloaded() -> HttpProblem:
    return HttpProblem(
        503,
        "overloaded",
        "The service takes in as many uploads as it can; try again in a moment",
        headers={"Retry-After": RETRY_AFTER},
    )
