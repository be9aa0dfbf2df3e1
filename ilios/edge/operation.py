"""Declares an operation of the HTTP interface beside its handler.

The declaration gives the route, the names that are taken, and the description: ``ilios.edge.app``
serves the operations, ``ilios.edge.openapi`` describes them.
"""

from collections.abc import Awaitable, Callable, Iterator
from types import ModuleType
from typing import Any, Literal

from aiohttp import web
from msgspec import Struct

from ilios.edge import requests
from ilios.edge.errors import HttpProblem, Problems, merged

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

Schema = Any
"""A type msgspec can describe, or a JSON Schema as a dict where no type fits."""

BYTES: dict[str, Any] = {"type": "string", "format": "binary"}
TEXT: dict[str, Any] = {"type": "string"}
JSON = requests.JSON_TYPE
MARKDOWN = "text/markdown"
FORM = "multipart/form-data"
OCTET_STREAM = "application/octet-stream"
"""Bytes of any kind. Generated clients hand out bytes for this media type, and for few others."""


class Parameter(Struct, frozen=True, kw_only=True):
    """One value of the path or the header; those of the path are always required."""

    name: str
    location: Literal["path", "query", "header"] = "query"
    description: str
    schema: Schema
    required: bool = False


class RequestBody(Struct, frozen=True, kw_only=True):
    """What a request carries, by media type; any one of them."""

    description: str
    content: dict[str, Schema]


class Response(Struct, frozen=True, kw_only=True):
    """An answer that is not a problem, or what comes with the problems of its status.

    ``headers`` are names out of ``HEADERS``.
    """

    description: str
    content: dict[str, Schema] = {}
    headers: tuple[str, ...] = ()


class Operation(Struct, frozen=True, kw_only=True, eq=False):
    """One method of one path, and its handler.

    ``name`` is the ``operationId`` generated clients call it by. A ``public`` operation needs no
    key. ``query`` holds the parameters of the query; those of ``fields`` are taken from the query
    and from the form, and described as parameters or, with ``describe_form``, as fields of the
    form. A status may be both an answer and a problem; the media type distinguishes them.
    """

    handler: Handler
    name: str
    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    tag: str
    summary: str
    description: str = ""
    public: bool = False
    parameters: tuple[Parameter, ...] = ()
    query: type[Struct] | None = None
    fields: type[Struct] | None = None
    json: type[Struct] | None = None
    describe_form: bool = False
    any_query: bool = False
    body: RequestBody | None = None
    responses: dict[int, Response]
    problems: Problems = {}

    @property
    def route(self) -> tuple[str, str]:
        """The method and the path: no two operations share them."""
        return self.method, self.path

    @property
    def described_query(self) -> dict[str, requests.Member]:
        """The parameters of the query that are described as such."""
        kinds = (self.query, None if self.describe_form else self.fields)
        return {
            name: one
            for kind in kinds
            if kind
            for name, one in requests.members(kind).items()
            if not one.is_secret
        }

    @property
    def secret_fields(self) -> dict[str, requests.Member]:
        """The fields of the form that the query must not have."""
        return _secret_members(self.fields)

    @property
    def secret_names(self) -> set[str]:
        """The names that the body may have and the query must not."""
        return {*_secret_members(self.fields), *_secret_members(self.json)}

    @property
    def query_names(self) -> set[str]:
        """Every name the query may have."""
        kinds = (self.query, self.fields)
        names = {name for kind in kinds if kind for name in requests.members(kind)}
        return names - self.secret_fields.keys()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, unless its query has an unknown name, or one with two values.

        :raises HttpProblem: it has (400).
        """
        if not self.any_query and request.query:
            _reject_secrets(request, self.secret_names)
            requests.reject_unknown(request.query, self.query_names, "query parameter")
            for kind in filter(None, (self.query, self.fields)):
                requests.reject_repeated(request, kind)
        return await self.handler(request)


def operation(  # noqa: PLR0913  # the members of a declaration, all by name
    method: Literal["GET", "POST", "PUT", "DELETE"],
    path: str,
    *,
    name: str,
    tag: str,
    summary: str,
    description: str = "",
    public: bool = False,
    parameters: tuple[Parameter, ...] = (),
    query: type[Struct] | None = None,
    fields: type[Struct] | None = None,
    json: type[Struct] | None = None,
    describe_form: bool = False,
    any_query: bool = False,
    body: RequestBody | None = None,
    responses: dict[int, Response],
    problems: tuple[Problems, ...] = (),
) -> Callable[[Handler], Operation]:
    """Declare the decorated handler as an operation; the arguments are members of ``Operation``.

    The problems of its members are added: a wrong value of each, and unknown names.
    """
    kinds = [kind for kind in (query, fields, json) if kind is not None]
    codes = {code for kind in kinds for code in requests.problem_codes(kind)}
    if kinds or not any_query:
        codes.add("unknown_field")
    if json is not None:
        codes.add("missing_fields")
    codes |= {f"{name}_in_query" for kind in kinds for name in _secret_members(kind)}

    def decorate(handler: Handler) -> Operation:
        return Operation(
            handler=handler,
            name=name,
            method=method,
            path=path,
            tag=tag,
            summary=summary,
            description=description,
            public=public,
            parameters=parameters,
            query=query,
            fields=fields,
            json=json,
            describe_form=describe_form,
            any_query=any_query,
            body=body,
            responses=responses,
            problems=merged(*problems, {400: tuple(codes)} if codes else {}),
        )

    return decorate


def _secret_members(kind: type[Struct] | None) -> dict[str, requests.Member]:
    members = requests.members(kind) if kind else {}
    return {name: one for name, one in members.items() if one.is_secret}


def _reject_secrets(request: web.Request, names: set[str]) -> None:
    """Let pass a request whose query has none of these names.

    :raises HttpProblem: it has one (400).
    """
    for name in names & request.query.keys():
        raise HttpProblem(
            400,
            f"{name}_in_query",
            f"{name} must not be in a query, which is stored in logs and histories; "
            "send it as a field of a form or a member of JSON",
        )


OPERATIONS = web.AppKey("operations", tuple)
"""The operations an application serves."""


def operations_of(*modules: ModuleType) -> tuple[Operation, ...]:
    """Return the operations these modules declare, in their order."""
    return tuple(_declared(modules))


def _declared(modules: tuple[ModuleType, ...]) -> Iterator[Operation]:
    for module in modules:
        yield from (one for one in vars(module).values() if isinstance(one, Operation))


ID_SCHEMA: dict[str, Any] = {"type": "string", "pattern": "^[a-z0-9]{20,30}$"}
DOCUMENT_BYTES: dict[str, Any] = BYTES | {"minLength": 1}
"""The bytes of a document; an empty one is refused."""

RAW_BODY: dict[str, Any] = {OCTET_STREAM: DOCUMENT_BYTES}
"""A document as the whole body. Any other media type is taken as well: the bytes decide."""
ANY_TYPE = (
    "Any media type will do for the document itself; what it is, is found out from its bytes."
)


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
    description="An `ETag` you have: 304 means that it is unchanged.",
    schema={"type": "string"},
)
IF_MATCH = Parameter(
    name="If-Match",
    location="header",
    description="The `ETag` it must have: 412 means that it has changed.",
    schema={"type": "string"},
)
