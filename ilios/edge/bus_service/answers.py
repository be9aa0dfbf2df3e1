"""Requests on the bus as the handlers of operations get them, and what they answer with."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from msgspec import Struct

from ilios.edge import requests
from ilios.edge.context import Edge
from ilios.edge.errors import HttpProblem
from ilios.edge.responses import Answer

TENANT_MEMBER = "tenant"


class Content(Struct, frozen=True):
    """An answer that is the content of a document."""

    status: int
    body: bytes
    headers: dict[str, str]


class Replayed(Struct, frozen=True):
    """An answer to a repetition of an earlier request under the same idempotency key."""

    answer: Answer | Content


BusAnswer = Answer | Content | Replayed


class Call(Struct, frozen=True):
    """A request of a tenant, its body parsed to ``members``.

    ``key`` is its idempotency key. ``place`` is entered while an operation works, as opposed to
    waiting; ``closing`` is set when the edge stops, and ``max_bytes`` the size of an answer.
    """

    edge: Edge
    tenant: str
    members: dict[str, Any]
    key: str | None
    closing: asyncio.Event
    place: Callable[[], AbstractAsyncContextManager[None]]
    max_bytes: int


def parse_members(body: bytes, tenant: str) -> dict[str, Any]:
    """Return the members of a request; a body without bytes has none.

    :raises HttpProblem: it is no JSON object, or names another tenant than ``tenant`` (400).
    """
    found = requests.require_object(requests.decode_json(body) if body else {})
    requests.reject_surrogates(found)
    if found.get(TENANT_MEMBER) not in (None, tenant):
        raise HttpProblem(
            400,
            "invalid_tenant",
            "tenant must be the tenant of the subject; leave it out",
        )
    return found
