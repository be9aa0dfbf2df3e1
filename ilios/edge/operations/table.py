"""What an operation is declared with. ``ilios.edge.openapi`` makes the description of it."""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

Schema = Any
"""A type msgspec can describe, or a JSON Schema as a dict where no type says it."""

BYTES: dict[str, Any] = {"type": "string", "format": "binary"}
TEXT: dict[str, Any] = {"type": "string"}
JSON = "application/json"
MARKDOWN = "text/markdown"
FORM = "multipart/form-data"
OCTET_STREAM = "application/octet-stream"
"""Bytes of any kind. Generated clients hand out bytes for this media type, and for few others."""


class Parameter(Struct, frozen=True, kw_only=True):
    """One value of the path, the query or the header; those of the path are always required."""

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

    ``headers`` are names out of ``headers.HEADERS``.
    """

    description: str
    content: dict[str, Schema] = {}
    headers: tuple[str, ...] = ()


Problems = Mapping[int, tuple[str, ...]]
"""The codes an operation may refuse with, by status; ``problems.CODES`` says what they mean."""


class Operation(Struct, frozen=True, kw_only=True):
    """One method of one path.

    ``name`` is the ``operationId`` generated clients call it by. An operation that is ``open``
    needs no key. A status may be both an answer and a problem; the media type tells which.
    """

    name: str
    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    tag: str
    summary: str
    description: str = ""
    public: bool = False
    parameters: tuple[Parameter, ...] = ()
    body: RequestBody | None = None
    responses: dict[int, Response]
    problems: Problems = {}

    @property
    def route(self) -> tuple[str, str]:
        """What tells it from all others."""
        return self.method, self.path
