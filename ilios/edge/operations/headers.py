"""The headers answers come with."""

from typing import Any, NamedTuple


class Header(NamedTuple):
    """What a header says and the JSON Schema of its value."""

    description: str
    schema: dict[str, Any]


_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}

REQUEST_ID = "X-Request-Id"

HEADERS = {
    "Accept-Encoding": Header("The encoding a body may have.", _TEXT),
    "Accept-Ranges": Header(
        "That parts can be asked for with `Range`.", _TEXT | {"enum": ["bytes"]}
    ),
    "Cache-Control": Header("How long the answer may be kept.", _TEXT),
    "Content-Disposition": Header("A name to save the answer under (RFC 6266).", _TEXT),
    "Content-Range": Header("Which bytes these are, of how many.", _TEXT),
    "ETag": Header("Changes with every byte of the answer.", _TEXT),
    "Idempotent-Replayed": Header(
        "`true` where this is the answer an earlier request with the same `Idempotency-Key` got.",
        _TEXT | {"enum": ["true"]},
    ),
    "Location": Header(
        "Where to ask how far it is.", {"type": "string", "format": "uri-reference"}
    ),
    "Retry-After": Header("Seconds to wait before asking again.", _COUNT),
    "Vary": Header("The request's headers this answer depends on.", _TEXT),
    "WWW-Authenticate": Header("How to name a key.", _TEXT),
    "X-Document-Id": Header("The id of the document.", _TEXT),
    "X-Extracted-Pages": Header("Pages converted.", _COUNT),
    "X-Processing-Time-Ms": Header("Milliseconds the engine took.", _COUNT),
    REQUEST_ID: Header("Names this request; it stands in every line logged for it.", _TEXT),
}

PROBLEM_HEADERS = {
    401: ("WWW-Authenticate",),
    415: ("Accept-Encoding",),
    416: ("Content-Range",),
    429: ("Retry-After",),
    503: ("Retry-After",),
    507: ("Retry-After",),
}
"""Which come with every problem of a status."""
