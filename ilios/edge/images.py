"""Images of pages: ``/api/documents/{id}/images/{name}``, where the Markdown says they are."""

import re

from aiohttp import web

from actors.blob_keys import image_key
from actors.ports import BlobNotFound
from ilios.edge import blob_responses, documents, lookup
from ilios.edge.content_disposition import format_disposition
from ilios.edge.context import EDGE
from ilios.edge.errors import HttpProblem
from schemas.documents import Blob

TYPES = {"jpeg": "image/jpeg", "png": "image/png", "gif": "image/gif", "webp": "image/webp"}
"""Content types by the endings of names."""

# The digits are the first of the SHA-256 of the bytes.
_NAME = re.compile(rf"([0-9a-f]{{32}})\.({'|'.join(TYPES)})")


async def image(request: web.Request) -> web.StreamResponse:
    """Answer with an image of a document that was completed.

    :raises Refused: there is none of this name (404), or the document was removed (410).
    """
    edge, document = request.app[EDGE], await lookup.get_document_or_404(request)
    documents.raise_if_removed(document)
    match = _NAME.fullmatch(request.match_info["name"])
    if match is None or document.result is None:
        raise _not_found()
    key = image_key(document.tenant, document.document_id, match[0])
    try:
        size = await edge.blobs.size(key)
    except BlobNotFound:
        raise _not_found() from None
    headers = {
        "Content-Type": TYPES[match[2]],
        "Content-Disposition": format_disposition("inline", match[0]),
        # An engine elsewhere says what it is; a browser must not find out otherwise.
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "private, no-cache",
    }
    async with documents.gone_if_removed(edge, document):
        return await blob_responses.send(request, edge.blobs, Blob(key, size, match[1]), headers)


def _not_found() -> HttpProblem:
    return HttpProblem(404, "image_not_found", "The document has no such image")
