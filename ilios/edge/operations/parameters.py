"""What several operations take: parameters, and the media types documents come in."""

from typing import Any

from ilios.edge.operations.table import BYTES, OCTET_STREAM, Parameter

ID_SCHEMA: dict[str, Any] = {"type": "string", "pattern": "^[a-z0-9]{20,30}$"}
RETENTION_DAYS: dict[str, Any] = {
    "type": "integer",
    "minimum": 1,
    "maximum": 3650,
    "default": 365,
    "description": "How many days the document is kept.",
}
MARKDOWN_OR_JSON: dict[str, Any] = {
    "type": "string",
    "enum": ["markdown", "json"],
    "default": "markdown",
    "description": "`json` also tells pages, model, sizes and tokens, and what the engine tells "
    "of each page.",
}
DOCUMENT_BYTES: dict[str, Any] = BYTES | {"minLength": 1}
"""The bytes of a document; an empty one is refused."""

RAW_BODY: dict[str, Any] = {OCTET_STREAM: DOCUMENT_BYTES}
"""A document as the whole body. Any other media type is taken as well: the bytes decide."""
ANY_TYPE = (
    "Any media type will do for the document itself; what it is, is found out from its bytes."
)


def _without_default(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema for a query beside a form: pages that fill in defaults would send both."""
    return {word: value for word, value in schema.items() if word != "default"}


ENGINE: dict[str, Any] = {
    "type": "string",
    "enum": ["local", "mistral"],
    "description": "What converts it; left out, the service chooses.",
}
MODEL: dict[str, Any] = {
    "type": "string",
    "pattern": "^([a-z0-9][a-z0-9.-]{0,63})?$",
    "examples": ["mistral-ocr-latest"],
    "description": "The model of the engine `mistral`, which it alone stands for, too; `local` "
    "stands for the engine of that name.",
}
ENGINE_FIELDS: dict[str, Any] = {"engine": ENGINE, "model": MODEL}
"""The fields of a form that choose what converts."""

_OR_FIELD = "It may also be a field of the form, which then counts."

DOCUMENT_ID = Parameter(
    name="id",
    location="path",
    description="The id of the document.",
    schema=ID_SCHEMA,
    required=True,
)
IMAGE_NAME = Parameter(
    name="name",
    location="path",
    description="The name of the image.",
    schema={"type": "string", "pattern": r"^[0-9a-f]{32}\.(jpeg|png|gif|webp)$"},
    required=True,
)
BATCH_ID = Parameter(
    name="id", location="path", description="The id of the batch.", schema=ID_SCHEMA, required=True
)
FORMAT = Parameter(
    name="format", description="What to answer with.", schema=_without_default(MARKDOWN_OR_JSON)
)
FORMAT_OR_FIELD = Parameter(
    name=FORMAT.name, description=f"{FORMAT.description} {_OR_FIELD}", schema=FORMAT.schema
)
FILE_NAME = Parameter(
    name="fileName",
    description="The name of a document that is the whole body; at most 255 bytes of it are kept.",
    schema={"type": "string"},
)
RETENTION_PARAMETER = Parameter(
    name="retentionDays",
    description=f"How many days the document is kept, 365 if not given. {_OR_FIELD}",
    schema=_without_default(RETENTION_DAYS),
)
ENGINE_PARAMETERS = (
    Parameter(
        name="engine",
        description=f"{ENGINE['description']} {_OR_FIELD}",
        schema=ENGINE,
    ),
    Parameter(
        name="model",
        description=f"{MODEL['description']} {_OR_FIELD}",
        schema=MODEL,
    ),
)
_UNQUOTED = "[!#-~](?:[ -~]{0,253}[!-~])?"
_QUOTED = r'"(?:[ !#-\[\]-~]|\\["\\]){1,255}"'

IDEMPOTENCY_KEY = Parameter(
    name="Idempotency-Key",
    location="header",
    description="Makes the request safe to repeat: under one key something is made once, and a "
    "repetition gets the same answer. 1 to 255 printable ASCII characters, plain or in quotes.",
    # The ends of a header's value are trimmed, so blanks can stand there only within quotes.
    schema={
        "type": "string",
        "pattern": rf"^(?:{_UNQUOTED}|{_QUOTED})$",
        "examples": ["f3b1c9d2-invoice-2026-01"],
    },
)
RANGE = Parameter(
    name="Range",
    location="header",
    description="One range of bytes, such as `bytes=0-1023`; what is not understood is ignored.",
    schema={"type": "string"},
)
IF_NONE_MATCH = Parameter(
    name="If-None-Match",
    location="header",
    description="An `ETag` you have: 304 says it is still the one.",
    schema={"type": "string"},
)
IF_MATCH = Parameter(
    name="If-Match",
    location="header",
    description="The `ETag` it must have: 412 says it is another one.",
    schema={"type": "string"},
)
