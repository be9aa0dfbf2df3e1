"""Read deadlines for request bodies."""

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ilios.edge.context import Limits
from ilios.edge.errors import HttpProblem

_T = TypeVar("_T")


class ReadDeadline:
    """Ends uploads of clients that send too slowly.

    Each step may take ``read_timeout``. All of them together may take ``grace`` seconds (by default
    ``slow_upload_grace``) and must then have come at ``min_bytes_per_second``. Only time spent
    waiting for the client counts, so a slow disk is not blamed on the client.
    """

    def __init__(self, limits: Limits, grace: float | None = None) -> None:
        self._limits = limits
        self._grace = limits.slow_upload_grace if grace is None else grace
        self._received = 0
        self._waited_seconds = 0.0

    async def read(self, step: Awaitable[_T]) -> _T:
        """Wait for one step of reading.

        :raises HttpProblem: too slow (408), or malformed (400).
        """
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._limits.read_timeout):
                read = await step
        except TimeoutError:
            raise _too_slow() from None
        except (HttpProcessingError, web.RequestPayloadError) as error:
            raise malformed_body() from error
        self._waited_seconds += time.monotonic() - began
        if isinstance(read, bytes | bytearray):
            self._received += len(read)
        if self._waited_seconds > self._grace:
            rate = self._received / self._waited_seconds
            if rate < self._limits.min_bytes_per_second:
                raise _too_slow()
        return read


def malformed_body() -> HttpProblem:
    """Return the answer to a body that cannot be parsed."""
    return HttpProblem(400, "malformed_request", "The request body is malformed")


def _too_slow() -> HttpProblem:
    return HttpProblem(408, "upload_too_slow", "The upload was too slow")
