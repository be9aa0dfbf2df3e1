"""The description of the requests on the bus, as a part of an AsyncAPI document."""

import inspect
from typing import Any

import msgspec
from msgspec import Struct

from bus import subjects
from bus.micro import ERROR_CODE_HEADER, ERROR_HEADER
from ilios.edge.bus_service.operations import OPERATIONS, BusOperation
from ilios.edge.errors import PROBLEM_TYPE
from ilios.edge.json_schemas import components
from ilios.edge.operation import IDEMPOTENCY_KEY
from ilios.edge.publishing import HEADER as KEY_HEADER
from ilios.formats import FORMATS
from schemas.replies import Problem

PREFIX = "Api"
"""Begins the names of what is described here: replies have the names of events otherwise."""
STATUS_HEADER = "Ilios-Status"

_SCHEMAS = "#/components/schemas/"
_MESSAGES = "#/components/messages/"
_STATUS: dict[str, Any] = {
    "type": "string",
    "pattern": "^[1-5][0-9][0-9]$",
    "description": "The status that HTTP would have.",
}
_REPLY_HEADERS = {"type": "object", "properties": {STATUS_HEADER: _STATUS}}
_PROBLEM_HEADERS = {
    "type": "object",
    "required": [STATUS_HEADER, ERROR_HEADER, ERROR_CODE_HEADER],
    "properties": {
        STATUS_HEADER: _STATUS,
        ERROR_CODE_HEADER: _STATUS,
        ERROR_HEADER: {"type": "string", "description": "A sentence."},
    },
}
_REQUEST_HEADERS = {
    "type": "object",
    "properties": {
        KEY_HEADER: IDEMPOTENCY_KEY.schema | {"description": IDEMPOTENCY_KEY.description},
        "traceparent": {
            "type": "string",
            "description": "The trace (W3C Trace Context) of the event that follows.",
        },
    },
}
_CONTENT = f"{PREFIX}Content"


def channels() -> dict[str, Any]:
    """Return the subject of each operation, and that of its replies, which the client chooses."""
    found: dict[str, Any] = {}
    for one in OPERATIONS:
        found[_name(one)] = {
            "address": f"{subjects.API}.{one.name}",
            "summary": one.summary,
            "description": f"The same as `{one.http}`.",
            "messages": _references([_message_name(one.body)]),
        }
        found[f"{_name(one)}Reply"] = {
            "address": None,
            "summary": "The reply subject of the request.",
            "messages": _references(_reply_names(one)),
        }
    return found


def operations() -> dict[str, Any]:
    """Return each operation with its request and its replies."""
    return {
        _name(one): {
            "action": "receive",
            "summary": one.summary,
            "channel": {"$ref": f"#/channels/{_name(one)}"},
            "messages": [_in_channel(_name(one), _message_name(one.body))],
            "reply": {
                "channel": {"$ref": f"#/channels/{_name(one)}Reply"},
                "messages": [
                    _in_channel(f"{_name(one)}Reply", message) for message in _reply_names(one)
                ],
            },
        }
        for one in OPERATIONS
    }


def messages() -> dict[str, Any]:
    """Return the messages of requests and replies."""
    found: dict[str, Any] = {}
    for one in OPERATIONS:
        headers = _REQUEST_HEADERS if one.makes else None
        found[_message_name(one.body)] = _message(one.body, headers)
        for kind in one.replies:
            found[_message_name(kind)] = _message(kind, _REPLY_HEADERS)
    found[_message_name(Problem)] = _message(Problem, _PROBLEM_HEADERS) | {
        "contentType": PROBLEM_TYPE
    }
    types = [one.media_type.partition(";")[0] for one in FORMATS.values()]
    found[_CONTENT] = {
        "name": "content",
        "summary": "The content of a document.",
        "description": f"Its `Content-Type` is that of the format: {', '.join(types)}.",
        "contentType": types[0],
        "headers": _REPLY_HEADERS,
        "payload": {"type": "string"},
    }
    return dict(sorted(found.items()))


def schemas() -> dict[str, Any]:
    """Return the schemas of the bodies of requests and replies."""
    kinds = {kind for one in OPERATIONS for kind in (one.body, *one.replies)} | {Problem}
    described = components(sorted(kinds, key=lambda kind: kind.__name__))
    text = msgspec.json.encode(described).replace(_SCHEMAS.encode(), f"{_SCHEMAS}{PREFIX}".encode())
    renamed: dict[str, Any] = msgspec.json.decode(text)
    return {f"{PREFIX}{name}": schema for name, schema in renamed.items()}


def _message(kind: type[Struct], headers: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "name": kind.__name__,
        "summary": inspect.cleandoc(kind.__doc__ or "").partition("\n")[0],
        **({"headers": headers} if headers else {}),
        "payload": {"$ref": f"{_SCHEMAS}{PREFIX}{kind.__name__}"},
    }


def _reply_names(operation: BusOperation) -> list[str]:
    names = [_message_name(kind) for kind in operation.replies]
    return [*names, *([_CONTENT] if operation.content else []), _message_name(Problem)]


def _message_name(kind: type[Struct]) -> str:
    return f"{PREFIX}{kind.__name__}"


def _references(names: list[str]) -> dict[str, Any]:
    return {name: {"$ref": f"{_MESSAGES}{name}"} for name in names}


def _in_channel(channel: str, message: str) -> dict[str, str]:
    return {"$ref": f"#/channels/{channel}/messages/{message}"}


def _name(operation: BusOperation) -> str:
    return "api" + "".join(part.title() for part in operation.name.split("."))
