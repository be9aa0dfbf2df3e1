"""The description of the HTTP interface (OpenAPI 3.1), made of the declarations."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from ilios import __version__
from ilios.edge import requests
from ilios.edge.errors import explain
from ilios.edge.json_schemas import components, plain, reference
from ilios.edge.operation import FORM, JSON, Operation, Parameter, Response
from schemas.event_replies import BatchEventData, DocumentEventData, ResetData
from schemas.pages import PageLine, PagesState
from schemas.replies import BatchLine, BatchManifest, DocumentChunk, Problem

PROBLEM = "application/problem+json"
API_DESCRIPTION = """\
Documents in, Markdown out: PDF, images, Office files, HTML, mail and others.

**Keys.** Where the service wants a key, send it as `Authorization: Bearer KEY` or `X-Api-Key: KEY`.
Each key sees its own documents only; those of others are answered as unknown ones are.

**Errors** are `application/problem+json` (RFC 9457): `code` is stable and meant for programs,
`error` is a sentence for people. An address that is not served is answered with 404
(`route_not_found`), a method it does not have with 405 (`method_not_allowed`) and `Allow`.
A header that does not come in time is answered with 408 (`request_too_slow`). While too many
clients are connected, anything but `/health`, `/livez` and `/readyz` may be answered with 503
(`overloaded`).

**HEAD** is answered wherever GET is, **OPTIONS** everywhere. Clients should ignore members and
headers they do not declare.
"""

TAGS = {
    "Documents": "One at a time: convert and wait, or submit, ask, fetch.",
    "Batches": "Up to 100 documents in one request.",
    "Events": "What happens to documents and batches, as server-sent events.",
    "Uploads": "Bytes that are sent in a request of their own.",
    "Usage": "What was converted and what it cost.",
    "Service": "Health checks and this description.",
}

SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "header": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
    "query": {
        "type": "apiKey",
        "in": "query",
        "name": "apiKey",
        "description": "URLs are stored in histories and logs: prefer a header.",
    },
}

EXTRA_SCHEMAS = (
    BatchEventData,
    BatchLine,
    BatchManifest,
    DocumentChunk,
    DocumentEventData,
    PageLine,
    PagesState,
    Problem,
    ResetData,
)
"""Described although no answer as a whole is one: they are parts of files and streams."""


class Header(NamedTuple):
    """The description of a response header and the JSON Schema of its value."""

    description: str
    schema: dict[str, Any]


_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}

REQUEST_ID_HEADER = "X-Request-Id"

HEADERS = {
    "Accept-Encoding": Header("The encoding a body may have.", _TEXT),
    "Accept-Ranges": Header("Parts can be requested with `Range`.", _TEXT | {"enum": ["bytes"]}),
    "Cache-Control": Header("How long the answer may be cached.", _TEXT),
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
    "Preference-Applied": Header("The preferences of `Prefer` that were applied.", _TEXT),
    "Retry-After": Header("Seconds to wait before asking again.", _COUNT),
    "Vary": Header("The request's headers this answer depends on.", _TEXT),
    "WWW-Authenticate": Header("How to name a key.", _TEXT),
    "X-Document-Id": Header("The id of the document.", _TEXT),
    "X-Extracted-Pages": Header("Pages converted.", _COUNT),
    "X-Processing-Time-Ms": Header("Milliseconds the engine took.", _COUNT),
    "X-Partial": Header("true if the last pages are missing; left out otherwise.", _TEXT),
    "X-Warnings": Header("Codes of the warnings of the document, if it has any.", _TEXT),
    REQUEST_ID_HEADER: Header("Names this request; it stands in every line logged for it.", _TEXT),
}

PROBLEM_HEADERS = {
    401: ("WWW-Authenticate",),
    406: ("Vary",),
    415: ("Accept-Encoding",),
    416: ("Content-Range",),
    429: ("Retry-After",),
    503: ("Retry-After",),
    507: ("Retry-After",),
}
"""The headers of every problem of a status."""


def describe(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the description of these operations."""
    operations = tuple(operations)
    structs: set[type[Struct]] = {*EXTRA_SCHEMAS}
    for operation in operations:
        structs.update(_schemas(operation))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    used = {operation.tag for operation in operations}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ilios",
            "version": __version__,
            "summary": "Documents to Markdown, as a service other software can trust.",
            "description": API_DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        # The first alternative is none at all: a service without keys is open.
        "security": [{}, *({name: []} for name in SECURITY_SCHEMES)],
        "tags": [{"name": name, "description": TAGS[name]} for name in TAGS if name in used],
        "paths": paths,
        "components": {
            "schemas": components(sorted(structs, key=lambda kind: kind.__name__))
            | _forms(operations),
            "headers": {name: _header(name) for name in sorted(HEADERS)},
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _schemas(operation: Operation) -> Iterable[type[Struct]]:
    if operation.json is not None:
        yield operation.json
    for answer in operation.responses.values():
        yield from (schema for schema in answer.content.values() if isinstance(schema, type))


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
    }
    if operation.description:
        described["description"] = operation.description
    if operation.public:
        described["security"] = []
    if parameters := [*map(_parameter, operation.parameters), *_query(operation)]:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = _body(operation)
    described["responses"] = {
        str(status): _response(operation, status)
        for status in sorted({*operation.responses, *operation.problems})
    }
    return described


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.location,
        "description": parameter.description,
        "required": parameter.required,
        "schema": _schema(parameter.schema),
    }


def _query(operation: Operation) -> Iterable[dict[str, Any]]:
    """Return the parameters of the query, which a form beside it may have as fields."""
    or_field = " It may also be a field of the form, which then counts."
    own = requests.members(operation.query) if operation.query is not None else {}
    for name, member in operation.described_query.items():
        schema = _member_schema(member)
        description = schema.pop("description", "")
        default = schema.pop("default", None)
        if name in own:
            if default is not None:
                schema["default"] = default
        else:
            # Without the default: a page that fills in defaults would send both.
            note = f" Left out, it is `{default}`." if default is not None else ""
            description += note + or_field
        yield _parameter(
            Parameter(name=name, description=description, schema=schema, required=member.required)
        )


def _body(operation: Operation) -> dict[str, Any]:
    assert operation.body is not None
    content = _content(operation.body.content)
    if operation.secret_fields and FORM in content:
        form = content[FORM]["schema"]
        secrets = {name: _member_schema(one) for name, one in operation.secret_fields.items()}
        content[FORM] = {"schema": form | {"properties": form["properties"] | secrets}}
    if operation.describe_form:
        content[FORM] = {"schema": reference(_form_name(operation))}
    if operation.json is not None:
        content[JSON] = {"schema": _schema(operation.json)}
    return {"description": operation.body.description, "required": True, "content": content}


def _form_name(operation: Operation) -> str:
    """Return the name of a described form, by which generated clients call it."""
    return f"{operation.name[0].upper()}{operation.name[1:]}Body"


def _forms(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the forms whose fields are described, by their names."""
    forms = {}
    for operation in operations:
        if operation.describe_form and operation.body and operation.fields:
            form = operation.body.content[FORM]
            fields = {
                name: _member_schema(member)
                for name, member in requests.members(operation.fields).items()
            }
            name = _form_name(operation)
            forms[name] = form | {"title": name, "properties": form["properties"] | fields}
    return forms


def _member_schema(member: requests.Member) -> dict[str, Any]:
    """Return the schema of a member as the text of a form or a query."""
    schema: dict[str, Any] = plain(msgspec.json.schema(member.type))
    kinds = [
        kind
        for kind in schema.pop("anyOf", ())
        if kind.get("type") not in ("null", "array", "object")
    ]
    for kind in kinds:
        schema = kind | schema
    if all(isinstance(value, str) for value in schema.get("enum", (None,))):
        schema["type"] = "string"
    schema |= member.schema
    if member.default not in (None, msgspec.NODEFAULT):
        schema.setdefault("default", member.default)
    return schema


def _response(operation: Operation, status: int) -> dict[str, Any]:
    """Return what an operation answers with a status: its answer, its problems, or both."""
    response = operation.responses.get(status, Response(description=""))
    codes = operation.problems.get(status, ())
    description = response.description or f"{HTTPStatus(status).phrase}."
    if codes:
        description = "\n".join(
            (description, "", *(f"- `{code}`: {explain(code)}" for code in codes))
        )
    content = _content(response.content)
    headers = {REQUEST_ID_HEADER, *response.headers}
    if codes:
        # The same type everywhere, not narrowed to the status and its codes: generated clients
        # would have a type of their own for each answer, or drop it.
        problem = _schema(Problem)
        if JSON in content:
            # They read every JSON answer of a status by the first type they find.
            content[JSON] = {"schema": {"anyOf": [content[JSON]["schema"], problem]}}
        content[PROBLEM] = {"schema": problem}
        headers.update(PROBLEM_HEADERS.get(status, ()))
    described: dict[str, Any] = {
        "description": description,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in sorted(headers)},
    }
    if content:
        described["content"] = content
    return described


def _content(content: dict[str, Any]) -> dict[str, Any]:
    return {media_type: {"schema": _schema(schema)} for media_type, schema in content.items()}


def _schema(schema: Any) -> dict[str, Any]:  # noqa: ANN401  # a type, or a schema already
    if isinstance(schema, dict):
        return schema
    return reference(schema.__name__)


def _header(name: str) -> dict[str, Any]:
    description, schema = HEADERS[name]
    return {"description": description, "schema": schema}
