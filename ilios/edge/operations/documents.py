"""One document at a time: ``/v1/convert`` and ``/api/documents``."""

from ilios.edge.operations.parameters import (
    ANY_TYPE,
    DOCUMENT_BYTES,
    DOCUMENT_ID,
    ENGINE_PARAMETERS,
    FILE_NAME,
    FORMAT,
    FORMAT_OR_FIELD,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_NONE_MATCH,
    IMAGE_NAME,
    RANGE,
    RAW_BODY,
    RETENTION_PARAMETER,
)
from ilios.edge.operations.problems import (
    AUTHENTICATING,
    FINDING_DOCUMENT,
    FORM,
    GONE,
    IDEMPOTENT,
    OTHER_CODES,
    PUBLISHING,
    READING_LOG,
    RECEIVING,
    SELECTING_ENGINE,
    SENDING_BLOB,
    merged,
)
from ilios.edge.operations.table import (
    BYTES,
    JSON,
    MARKDOWN,
    OCTET_STREAM,
    TEXT,
    Operation,
    RequestBody,
    Response,
)
from ilios.edge.operations.table import FORM as FORM_TYPE
from schemas.replies import (
    DeletionReceipt,
    DocumentContent,
    DocumentStatus,
    FailedDocument,
    Submitted,
    Unfinished,
)

TAG = "Documents"

_CACHE_HEADERS = ("Cache-Control", "ETag")
_MARKDOWN_HEADERS = ("X-Document-Id", "X-Extracted-Pages", "X-Processing-Time-Ms", *_CACHE_HEADERS)
_MARKDOWN = Response(
    description="The Markdown; pages are separated by a line of `---`.",
    content={MARKDOWN: TEXT, JSON: DocumentContent},
    headers=(*_MARKDOWN_HEADERS, "Accept-Ranges", "Content-Disposition"),
)
_UNFINISHED = Response(
    description="There is no Markdown yet; ask again.",
    content={JSON: Unfinished},
    headers=("Location", "Retry-After"),
)
_FAILED = Response(
    description="There will be no Markdown; `error` says why.", content={JSON: FailedDocument}
)
_NOT_MODIFIED = "It is what `If-None-Match` names."
_NO_RANGE = {416: ("range_not_satisfiable",)}

_IMAGES = dict.fromkeys(("image/jpeg", "image/png", "image/gif", "image/webp", OCTET_STREAM), BYTES)
_ORIGINAL = {OCTET_STREAM: BYTES, "*/*": BYTES}

_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": DOCUMENT_BYTES | {"description": "The document."}},
}
"""The form of one document. Its other fields are described once, as parameters of the query."""

CONVERT = Operation(
    name="convert",
    method="POST",
    path="/v1/convert",
    tag=TAG,
    summary="Convert a document and wait for its Markdown",
    description="The same as submitting, waiting and reading, in one request. When it takes too "
    "long the answer is 202, and the conversion goes on. A client that hangs up ends the waiting, "
    "not the conversion. The codes of a document that cannot be converted are the engine's: "
    "`corrupt`, `password_protected`, `unsupported_type`, `timeout` and others.",
    parameters=(
        FILE_NAME,
        FORMAT_OR_FIELD,
        RETENTION_PARAMETER,
        *ENGINE_PARAMETERS,
        IDEMPOTENCY_KEY,
    ),
    body=RequestBody(
        description=f"A form with the document as `file`, or the document itself. {ANY_TYPE}",
        content={
            FORM_TYPE: _FORM,
            **RAW_BODY,
        },
    ),
    responses={
        200: Response(
            description=_MARKDOWN.description,
            content=_MARKDOWN.content,
            headers=(*_MARKDOWN.headers, "Idempotent-Replayed"),
        ),
        202: Response(
            description="It takes longer; ask again at `Location`.",
            content=_UNFINISHED.content,
            headers=(*_UNFINISHED.headers, "Idempotent-Replayed"),
        ),
    },
    problems=merged(
        AUTHENTICATING,
        RECEIVING,
        FORM,
        PUBLISHING,
        IDEMPOTENT,
        SELECTING_ENGINE,
        SENDING_BLOB,
        GONE,
        {400: ("invalid_format",), 422: (OTHER_CODES,)},
    ),
)

SUBMIT = Operation(
    name="submitDocument",
    method="POST",
    path="/api/documents/submit",
    tag=TAG,
    summary="Submit a document for conversion",
    description="202 means stored: the document is on disk and the log has its event.",
    parameters=(FILE_NAME, RETENTION_PARAMETER, *ENGINE_PARAMETERS, IDEMPOTENCY_KEY),
    body=RequestBody(
        description=f"A form with the document as `file`, or the document itself. {ANY_TYPE}",
        content={
            FORM_TYPE: _FORM,
            **RAW_BODY,
        },
    ),
    responses={
        202: Response(
            description="The document is stored and will be converted.",
            content={JSON: Submitted},
            headers=("Location", "Retry-After", "Idempotent-Replayed"),
        )
    },
    problems=merged(AUTHENTICATING, RECEIVING, FORM, PUBLISHING, IDEMPOTENT, SELECTING_ENGINE),
)

STATUS = Operation(
    name="documentStatus",
    method="GET",
    path="/api/documents/status/{id}",
    tag=TAG,
    summary="How far a document is",
    parameters=(DOCUMENT_ID,),
    responses={
        200: Response(
            description="Its status. `Retry-After` is there until it has ended.",
            content={JSON: DocumentStatus},
            headers=("Retry-After",),
        )
    },
    problems=merged(AUTHENTICATING, FINDING_DOCUMENT, READING_LOG),
)

READ = Operation(
    name="readDocument",
    method="GET",
    path="/api/documents/{id}",
    tag=TAG,
    summary="The Markdown of a document",
    description="Ranges hold for the Markdown, not for the JSON.",
    parameters=(DOCUMENT_ID, FORMAT, RANGE, IF_NONE_MATCH, IF_MATCH),
    responses={
        200: _MARKDOWN,
        202: _UNFINISHED,
        206: Response(
            description="A part of the Markdown.",
            content={MARKDOWN: TEXT},
            headers=(*_MARKDOWN.headers, "Content-Range"),
        ),
        304: Response(description=_NOT_MODIFIED, headers=_MARKDOWN.headers),
        500: _FAILED,
    },
    problems=merged(
        AUTHENTICATING,
        FINDING_DOCUMENT,
        READING_LOG,
        GONE,
        SENDING_BLOB,
        _NO_RANGE,
        {400: ("invalid_format",)},
    ),
)

ORIGINAL = Operation(
    name="readOriginal",
    method="GET",
    path="/api/documents/{id}/original",
    tag=TAG,
    summary="The document as it was submitted",
    description="A document that is yet to be fetched from its address has no original.",
    parameters=(DOCUMENT_ID, RANGE, IF_NONE_MATCH, IF_MATCH),
    responses={
        200: Response(
            description="Its bytes, under the type they were found to be.",
            content=_ORIGINAL,
            headers=(*_CACHE_HEADERS, "Accept-Ranges", "Content-Disposition"),
        ),
        202: Response(
            description="There is no original yet; ask again.",
            content={JSON: Unfinished},
            headers=("Location", "Retry-After"),
        ),
        206: Response(
            description="A part of its bytes.",
            content=_ORIGINAL,
            headers=(*_CACHE_HEADERS, "Accept-Ranges", "Content-Disposition", "Content-Range"),
        ),
        304: Response(
            description=_NOT_MODIFIED,
            headers=(*_CACHE_HEADERS, "Accept-Ranges", "Content-Disposition"),
        ),
        307: Response(
            description="Its bytes are at `Location`, for five minutes; no key belongs there.",
            headers=("Cache-Control", "Location"),
        ),
        500: Response(
            description="It could not be fetched; `error` says why.", content={JSON: FailedDocument}
        ),
    },
    problems=merged(AUTHENTICATING, FINDING_DOCUMENT, READING_LOG, GONE, SENDING_BLOB, _NO_RANGE),
)

IMAGE = Operation(
    name="readImage",
    method="GET",
    path="/api/documents/{id}/images/{name}",
    tag=TAG,
    summary="An image of a page",
    description="The Markdown leads here, and so does the `name` of an image in the `pages` of "
    "the JSON.",
    parameters=(DOCUMENT_ID, IMAGE_NAME, RANGE, IF_NONE_MATCH, IF_MATCH),
    responses={
        200: Response(
            description="Its bytes.",
            content=_IMAGES,
            headers=(*_CACHE_HEADERS, "Accept-Ranges", "Content-Disposition"),
        ),
        206: Response(
            description="A part of its bytes.",
            content=_IMAGES,
            headers=(*_CACHE_HEADERS, "Accept-Ranges", "Content-Disposition", "Content-Range"),
        ),
        304: Response(
            description=_NOT_MODIFIED,
            headers=(*_CACHE_HEADERS, "Accept-Ranges", "Content-Disposition"),
        ),
    },
    problems=merged(
        AUTHENTICATING,
        FINDING_DOCUMENT,
        READING_LOG,
        GONE,
        SENDING_BLOB,
        _NO_RANGE,
        {404: ("image_not_found",)},
    ),
)

DELETE = Operation(
    name="deleteDocument",
    method="DELETE",
    path="/api/documents/{id}",
    tag=TAG,
    summary="Delete a document, or cancel its conversion",
    description="Markdown, images and original are erased; what was billed stays billed. Asking "
    "again gets the same receipt.",
    parameters=(DOCUMENT_ID,),
    responses={
        200: Response(
            description="It is no longer kept; this is the receipt.",
            content={JSON: DeletionReceipt},
        ),
        202: Response(
            description="It will be deleted; `deletedAt` is null until it is.",
            content={JSON: DeletionReceipt},
            headers=("Location", "Retry-After"),
        ),
    },
    problems=merged(AUTHENTICATING, FINDING_DOCUMENT, PUBLISHING),
)

OPERATIONS = (CONVERT, SUBMIT, STATUS, READ, ORIGINAL, IMAGE, DELETE)
