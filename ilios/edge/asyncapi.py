"""The description of the interface on the bus (AsyncAPI 3.1), made of the types of its events."""

import inspect
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from bus import subjects
from ilios import __version__
from ilios.edge.bus_service import described
from ilios.edge.json_schemas import components, reference
from schemas.batches import BatchCompleted, BatchEvent, BatchProgressed, BatchSubmitted
from schemas.documents import (
    DocumentCancelled,
    DocumentCompleted,
    DocumentFailed,
    DocumentRejected,
    DocumentSubmitted,
)
from schemas.pages import PageConverted

BUS_DESCRIPTION = """\
Documents in, Markdown out, by events on NATS JetStream: JSON, one event per message.

`receive` is what this service consumes and its clients publish, `send` what it publishes. A
publish with JetStream, or as a request, is acknowledged once the event is on disk. Each event may
be delivered more than once. The type of an event has its version; members are added with defaults
only, and unknown members are to be ignored.

`ilios.api.*` are requests: the answer comes to the reply subject, as that of HTTP would be. They
are a NATS service named `ilios`. In the account of a tenant their subjects are as described here;
elsewhere each ends with the tenant, as in `ilios.api.submit.default`. Unknown members of requests
are refused.
"""


class Channel(NamedTuple):
    """A type of event that clients publish or subscribe to, and a sentence about it."""

    event: type[Struct]
    action: Literal["receive", "send"]
    summary: str


CHANNELS = (
    Channel(DocumentSubmitted, "receive", "Submits a document for conversion."),
    Channel(BatchSubmitted, "receive", "Submits several documents, all of them or none."),
    Channel(DocumentCompleted, "send", "The document is converted, and its result can be read."),
    Channel(DocumentFailed, "send", "The document will not be converted."),
    Channel(DocumentRejected, "send", "A submission is no valid event."),
    Channel(DocumentCancelled, "send", "The owner of the document cancelled it."),
    Channel(PageConverted, "send", "Pages of a document are converted; on no stream."),
    Channel(BatchProgressed, "send", "A batch makes progress at its engine."),
    Channel(BatchCompleted, "send", "All documents of a batch have ended."),
)
"""What clients of the bus publish and subscribe to."""

_PARAMETERS: dict[str, dict[str, Any]] = {
    "priority": {
        "description": "p01 to p10, p10 being the most urgent.",
        "enum": [f"p{priority:02d}" for priority in range(1, 11)],
    },
    "tenant": {"description": "The tenant; `default` without API keys."},
    "documentId": {"description": "20 to 30 characters of a-z and 0-9, new for each document."},
    "batchId": {"description": "20 to 27 characters of a-z and 0-9, new for each batch."},
}


def describe() -> dict[str, Any]:
    """Return the description of what clients of the bus publish and subscribe to."""
    kinds = sorted((one.event for one in CHANNELS), key=lambda kind: kind.__name__)
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "ilios",
            "version": __version__,
            "description": BUS_DESCRIPTION,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": {_name(one): _channel(one) for one in CHANNELS} | described.channels(),
        "operations": {_name(one): _operation(one) for one in CHANNELS} | described.operations(),
        "components": {
            "schemas": _without_discriminators(components(kinds) | described.schemas()),
            "messages": {kind.__name__: _message(kind) for kind in kinds} | described.messages(),
        },
    }


def address(event: type[Struct]) -> str:
    """Return the subject of events of a type, with the names of its parameters in braces."""
    if issubclass(event, PageConverted):
        return subjects.page_subject("{tenant}", "{documentId}")
    name = subjects.event_name(event)
    if issubclass(event, BatchEvent):
        return f"{subjects.BATCH}.{name}.{{tenant}}.{{batchId}}"
    return f"{subjects.DOCUMENT}.{name}.{{priority}}.{{tenant}}.{{documentId}}"


def _without_discriminators(schema: Any) -> Any:  # noqa: ANN401  # JSON
    """Return schemas without the discriminators of OpenAPI, which AsyncAPI has no place for.

    They are only a hint: the alternatives have different constants in that member.
    """
    if isinstance(schema, list):
        return [_without_discriminators(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _without_discriminators(value)
        for name, value in schema.items()
        if name != "discriminator"
    }


def _name(channel: Channel) -> str:
    name = channel.event.__name__
    return name[0].lower() + name[1:]


def _channel(channel: Channel) -> dict[str, Any]:
    found = address(channel.event)
    name = channel.event.__name__
    return {
        "address": found,
        "summary": channel.summary,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "parameters": {
            parameter: described
            for parameter, described in _PARAMETERS.items()
            if f"{{{parameter}}}" in found
        },
    }


def _operation(channel: Channel) -> dict[str, Any]:
    name = _name(channel)
    return {
        "action": channel.action,
        "summary": channel.summary,
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{channel.event.__name__}"}],
    }


def _message(kind: type[Struct]) -> dict[str, Any]:
    return {
        "name": str(kind.__struct_config__.tag),
        "summary": inspect.cleandoc(kind.__doc__ or "").partition("\n")[0],
        "payload": reference(kind.__name__),
    }
