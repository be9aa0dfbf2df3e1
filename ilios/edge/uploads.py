"""Takes in what a request uploads, whole or not at all: refusing early, inviting late, discarding.

What is in the body is read in ``forms``.
"""

import asyncio
from collections.abc import Callable, Iterable

import structlog
from aiohttp import HttpVersion11, web

from actors.ports import Blobs
from ilios.edge.context import EDGE, TENANT, Limits
from ilios.edge.errors import HttpProblem
from ilios.edge.multipart import UploadForm, UploadReader, UploadRules, media_type, too_large
from ilios.edge.upload_limiter import UPLOAD_LIMITER

FORM_OVERHEAD = 2 * 1024 * 1024
"""How much longer than its files a form may be."""

FORM_TYPE = "multipart/form-data"
_NOT_FILE_TYPES = ("multipart/", "application/x-www-form-urlencoded", "application/json")

log = structlog.get_logger("edge")


async def defer_continue(_request: web.Request) -> None:
    """Answer ``Expect`` only once the body is wanted, so that a refused client never sends it."""


async def receive(
    request: web.Request, rules: UploadRules, make_key: Callable[[int], str]
) -> UploadForm:
    """Store the documents of a request, the n-th under ``key_of(n)``; all of them or none.

    :raises Refused: no file, too large, too slow, malformed, or too many are uploading.
    :raises StorageFull: there is no room for them, or none is left before they are all there.
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
    """Let pass what comes as it is.

    :raises Refused: it is compressed (415); unpacked, it might be a bomb.
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
    """Delete blobs nobody will ask for; what cannot be deleted stays, and nobody refers to it."""
    # Shielded: a client that hangs up now must not keep its upload in the store.
    await asyncio.shield(_discard(blobs, keys))


async def _discard(blobs: Blobs, keys: Iterable[str]) -> None:
    for key in keys:
        try:
            await blobs.delete(key)
        except Exception as error:  # noqa: BLE001  # the request's own error is the one to tell
            log.warning("upload not discarded", key=key, error=repr(error))


def _reject_early(request: web.Request, limits: Limits, rules: UploadRules) -> None:
    """Refuse what the header alone shows cannot be served."""
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
    # Not request.content_type: there a header of 8 kB can be written to cost half a second.
    return media_type(request.headers.get("Content-Type"))


async def send_continue(request: web.Request) -> None:
    """Send the ``100 Continue`` that ``expect_later`` has held back."""
    expected = request.headers.get("Expect")
    if expected is None or request.version < HttpVersion11:
        return
    if expected.lower() != "100-continue":
        raise HttpProblem(417, "expectation_failed", "The expectation is not known")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
