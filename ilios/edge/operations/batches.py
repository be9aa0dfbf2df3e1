"""Many documents at once: ``/v1/batch``."""

from ilios.edge.operations.parameters import (
    BATCH_ID,
    DOCUMENT_BYTES,
    ENGINE_FIELDS,
    IDEMPOTENCY_KEY,
    RETENTION_DAYS,
)
from ilios.edge.operations.problems import (
    AUTHENTICATING,
    FINDING_BATCH,
    FORM,
    IDEMPOTENT,
    PUBLISHING,
    READING_LOG,
    RECEIVING,
    SELECTING_ENGINE,
    merged,
)
from ilios.edge.operations.table import (
    BYTES,
    JSON,
    OCTET_STREAM,
    TEXT,
    Operation,
    Parameter,
    RequestBody,
    Response,
)
from ilios.edge.operations.table import FORM as FORM_TYPE
from schemas.batch_replies import BatchStatus, BatchSubmitted
from schemas.batches import MAX_BATCH_DOCUMENTS

TAG = "Batches"

_FILES = {
    "type": "array",
    "items": DOCUMENT_BYTES,
    "minItems": 1,
    "maxItems": MAX_BATCH_DOCUMENTS,
    "description": "The documents, each in a part of its own; the name may also be `files[]`.",
}
_PRIORITY = {
    "type": "integer",
    "minimum": 1,
    "maximum": 10,
    "default": 5,
    "description": "10 is the most urgent.",
}

_BOOLEAN = {"type": "string", "enum": ["true", "false"], "default": "false"}

SUBMIT = Operation(
    name="submitBatch",
    method="POST",
    path="/v1/batch/submit",
    tag=TAG,
    summary="Submit up to 100 documents together",
    description="All of them are accepted, or none. 202 means stored.",
    parameters=(IDEMPOTENCY_KEY,),
    body=RequestBody(
        description="A form with the documents as `files`.",
        content={
            FORM_TYPE: {
                "type": "object",
                "required": ["files"],
                "properties": {
                    "files": _FILES,
                    "priority": _PRIORITY,
                    "retentionDays": RETENTION_DAYS,
                    "useMistralBatch": _BOOLEAN
                    | {
                        "description": "`true` has Mistral convert them as one batch of its own, "
                        "which costs less and takes longer."
                    },
                    **ENGINE_FIELDS,
                },
            }
        },
    ),
    responses={
        202: Response(
            description="All documents are stored and will be converted.",
            content={JSON: BatchSubmitted},
            headers=("Location", "Retry-After", "Idempotent-Replayed"),
        )
    },
    problems=merged(
        AUTHENTICATING,
        RECEIVING,
        FORM,
        PUBLISHING,
        IDEMPOTENT,
        SELECTING_ENGINE,
        {
            400: ("invalid_priority", "invalid_use_mistral_batch"),
        },
    ),
)

STATUS = Operation(
    name="batchStatus",
    method="GET",
    path="/v1/batch/status/{id}",
    tag=TAG,
    summary="How far a batch is",
    parameters=(
        BATCH_ID,
        Parameter(
            name="details",
            description="`true` adds every document of the batch.",
            schema=_BOOLEAN,
        ),
    ),
    responses={
        200: Response(
            description="Its progress. `Retry-After` is there until it has ended.",
            content={JSON: BatchStatus},
            headers=("Retry-After",),
        )
    },
    problems=merged(AUTHENTICATING, FINDING_BATCH, READING_LOG, {400: ("invalid_details",)}),
)

DOWNLOAD = Operation(
    name="downloadBatch",
    method="GET",
    path="/v1/batch/download/{id}",
    tag=TAG,
    summary="The results of a batch",
    description="As JSON lines, one `BatchLine` for each document in the order they were "
    "submitted, or as a ZIP archive with a Markdown file for each and a `manifest.json`, which is "
    "a `BatchManifest`.",
    parameters=(
        BATCH_ID,
        Parameter(
            name="format",
            description="What to answer with.",
            schema={"type": "string", "enum": ["jsonl", "zip"], "default": "jsonl"},
        ),
    ),
    responses={
        200: Response(
            description="The results.",
            content={"application/x-ndjson": TEXT, "application/zip": BYTES, OCTET_STREAM: BYTES},
            headers=("Cache-Control", "Content-Disposition"),
        ),
        400: Response(description="", headers=("Retry-After",)),
    },
    problems=merged(
        AUTHENTICATING,
        FINDING_BATCH,
        READING_LOG,
        {
            400: ("batch_not_ready", "unsupported_format"),
            410: ("content_gone",),
            500: ("content_damaged",),
        },
    ),
)

OPERATIONS = (SUBMIT, STATUS, DOWNLOAD)
