"""Images of pages, at the addresses the Markdown has for them."""

import re

from aiohttp import web

from actors.blob_keys import image_key
from actors.ports import BlobNotFound
from ilios.edge import blob_responses, documents, lookup, responses
from ilios.edge.context import EDGE
from ilios.edge.errors import (
    AUTHENTICATING,
    FINDING_DOCUMENT,
    GONE,
    READING_LOG,
    SENDING_BLOB,
    HttpProblem,
)
from ilios.edge.operation import (
    BYTES,
    DOCUMENT_ID,
    IF_MATCH,
    IF_NONE_MATCH,
    IMAGE_NAME,
    OCTET_STREAM,
    RANGE,
    Response,
    operation,
)
from schemas.documents import Blob

IMAGE_TYPES = {"jpeg": "image/jpeg", "png": "image/png", "gif": "image/gif", "webp": "image/webp"}
"""Content types by the endings of names."""

# The digits are the first of the SHA-256 of the bytes.
_IMAGE_NAME = re.compile(rf"([0-9a-f]{{32}})\.({'|'.join(IMAGE_TYPES)})")
_HEADERS = (*documents.CACHE_HEADERS, "Accept-Ranges", "Content-Disposition")
_IMAGES = dict.fromkeys((*IMAGE_TYPES.values(), OCTET_STREAM), BYTES)


@operation(
    "GET",
    "/api/documents/{id}/images/{name}",
    name="readImage",
    tag=documents.TAG,
    summary="An image of a page",
    description="The Markdown leads here, and so does the `name` of an image in the `pages` of "
    "the JSON.",
    parameters=(DOCUMENT_ID, IMAGE_NAME, RANGE, IF_NONE_MATCH, IF_MATCH),
    responses={
        200: Response(
            description="Its bytes.",
            content=_IMAGES,
            headers=_HEADERS,
        ),
        206: Response(
            description="A part of its bytes.",
            content=_IMAGES,
            headers=(
                *documents.CACHE_HEADERS,
                "Accept-Ranges",
                "Content-Disposition",
                "Content-Range",
            ),
        ),
        304: Response(
            description=documents.NOT_MODIFIED,
            headers=_HEADERS,
        ),
    },
    problems=(
        AUTHENTICATING,
        FINDING_DOCUMENT,
        READING_LOG,
        GONE,
        SENDING_BLOB,
        documents.NO_RANGE,
        {404: ("image_not_found",)},
    ),
)
async def image(request: web.Request) -> web.StreamResponse:
    """Answer with an image of a page of a completed document.

    :raises HttpProblem: there is none of this name (404), or the document was removed (410).
    """
    edge, document = request.app[EDGE], await lookup.get_document_or_404(request)
    documents.raise_if_removed(document)
    match = _IMAGE_NAME.fullmatch(request.match_info["name"])
    if match is None or document.result is None:
        raise _not_found()
    key = image_key(document.tenant, document.document_id, match[0])
    try:
        size = await edge.blobs.size(key)
    except BlobNotFound:
        raise _not_found() from None
    headers = {
        "Content-Type": IMAGE_TYPES[match[2]],
        "Content-Disposition": responses.format_disposition("inline", match[0]),
        # The type comes from a remote engine; a browser must not sniff another one.
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "private, no-cache",
    }
    async with documents.gone_if_removed(edge, document):
        return await blob_responses.send(request, edge.blobs, Blob(key, size, match[1]), headers)


def _not_found() -> HttpProblem:
    return HttpProblem(404, "image_not_found", "The document has no such image")
