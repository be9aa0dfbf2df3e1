"""A document whose bytes come in a request of their own: ask for an address, PUT, confirm."""

from ilios.edge.operations.parameters import ANY_TYPE, DOCUMENT_ID, RAW_BODY
from ilios.edge.operations.problems import (
    AUTHENTICATING,
    FINDING_DOCUMENT,
    GONE,
    PUBLISHING,
    READING_LOG,
    SELECTING_ENGINE,
    merged,
)
from ilios.edge.operations.table import JSON, Operation, Parameter, RequestBody, Response
from schemas.upload_replies import UploadConfirmed, UploadUrl, UploadWanted

TAG = "Uploads"

_BODY_PROBLEMS = {
    400: ("malformed_request",),
    408: ("upload_too_slow",),
    415: ("encoding_unsupported",),
    417: ("expectation_failed",),
    507: ("storage_full",),
}
_NUMBER = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}

RESERVE = Operation(
    name="askForUpload",
    method="POST",
    path="/api/documents/upload-url",
    tag=TAG,
    summary="Ask where to upload a document",
    description="For clients that hold no key, such as a browser: whoever has the address may PUT "
    "exactly so many bytes there, for an hour.",
    body=RequestBody(description="What will be uploaded.", content={JSON: UploadWanted}),
    responses={
        200: Response(
            description="PUT the bytes there.",
            content={JSON: UploadUrl},
            headers=("Cache-Control",),
        )
    },
    problems=merged(
        AUTHENTICATING,
        _BODY_PROBLEMS,
        SELECTING_ENGINE,
        {
            400: (
                "file_too_large",
                "invalid_file_name",
                "invalid_file_size",
                "invalid_mime_type",
                "invalid_retention_days",
                "malformed_json",
                "missing_fields",
            ),
            413: ("request_too_large",),
            415: ("json_expected",),
        },
    ),
)

PUT = Operation(
    name="upload",
    method="PUT",
    path="/api/uploads/{id}",
    tag=TAG,
    summary="Upload a document to an address that was given out",
    description="The address holds all that is needed; no key is. It may be done again until the "
    "upload is confirmed: what came last counts.",
    public=True,
    parameters=(
        DOCUMENT_ID,
        Parameter(
            name="size",
            description="How many bytes it must have.",
            schema=_NUMBER,
            required=True,
        ),
        Parameter(
            name="expires",
            description="Until when the address is valid, in seconds since 1970.",
            schema=_NUMBER,
            required=True,
        ),
        Parameter(
            name="signature",
            description="Shows that this service has made the address.",
            schema={"type": "string", "minLength": 1},
            required=True,
        ),
    ),
    body=RequestBody(description=f"The document. {ANY_TYPE}", content=RAW_BODY),
    responses={
        200: Response(description="The bytes are stored; confirm the upload.", headers=("ETag",))
    },
    problems=merged(
        READING_LOG,
        _BODY_PROBLEMS,
        {
            400: ("upload_size_differs",),
            403: ("upload_url_expired", "upload_url_invalid"),
            404: ("route_not_found",),
            409: ("upload_completed",),
            500: ("internal_error",),
            503: ("not_ready", "overloaded"),
        },
    ),
)

CONFIRM = Operation(
    name="confirmUpload",
    method="POST",
    path="/api/documents/upload-complete/{id}",
    tag=TAG,
    summary="Confirm an upload, so that the document is converted",
    description="Asking again gets the same answer, until the document is removed; it is "
    "converted once.",
    parameters=(DOCUMENT_ID,),
    responses={
        200: Response(
            description="The document is stored and will be converted.",
            content={JSON: UploadConfirmed},
        )
    },
    problems=merged(
        AUTHENTICATING,
        FINDING_DOCUMENT,
        GONE,
        PUBLISHING,
        {400: ("upload_missing", "upload_size_differs")},
    ),
)

OPERATIONS = (RESERVE, PUT, CONFIRM)
