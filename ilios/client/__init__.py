"""A client of a running service: asynchronous (``AsyncClient``) and synchronous (``Client``).

It needs aiohttp and msgspec alone, and of this project only ``schemas``.
"""

from ilios.client.asynchronous import AsyncClient
from ilios.client.errors import (
    ClientError,
    Interrupted,
    ServiceProblem,
    UnexpectedAnswer,
    Unreachable,
)
from ilios.client.events import ServerEvent
from ilios.client.filters import DocumentFilter
from ilios.client.parallel import Outcome, in_parallel
from ilios.client.retries import Patience
from ilios.client.sources import Upload
from ilios.client.synchronous import Client

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "DocumentFilter",
    "Interrupted",
    "Outcome",
    "Patience",
    "ServerEvent",
    "ServiceProblem",
    "UnexpectedAnswer",
    "Unreachable",
    "Upload",
    "in_parallel",
]
