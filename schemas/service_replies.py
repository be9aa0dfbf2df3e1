"""Replies of the HTTP interface about the service itself."""

from typing import Literal

from msgspec import Struct

from .replies import Instant


class HealthReport(Struct, frozen=True, kw_only=True):
    """States of the parts of the service; each problem is a sentence for the operator."""

    services: dict[str, str]
    healthy: bool
    problems: list[str]


class Health(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``healthy`` or ``unhealthy``, then with ``error``."""

    status: str
    version: str
    timestamp: Instant
    services: dict[str, str]
    error: str | None = None


class Alive(Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Endpoint(Struct, frozen=True, kw_only=True):
    """One endpoint of the service."""

    method: str
    path: str
    description: str


class Index(Struct, frozen=True, kw_only=True):
    """Endpoints of the service."""

    name: str
    version: str
    endpoints: list[Endpoint]


# In replies about batches a member without a value yet is null, unless its description says that it
# is left out.
