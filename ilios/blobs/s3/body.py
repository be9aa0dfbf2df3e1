"""The bytes of one answer of S3, as they come."""

import asyncio
from typing import Any

from ilios.blobs.s3.config import S3Config
from ilios.blobs.s3.errors import SDK_ERRORS, translate, unreachable

CHUNK_BYTES = 256 * 1024  # at most; as a rule fewer are there
SILENT_FOR = 20.0  # seconds


class Body:
    """``length`` bytes that are read once. To be closed, read to its end or not."""

    def __init__(self, stream: Any, length: int, config: S3Config) -> None:  # noqa: ANN401  # no types
        self._stream = stream
        self._config = config
        self.length = length

    async def read(self) -> bytes:
        """Return what there is, or wait for more; nothing at the end.

        :raises StorageUnavailable: it does not come, or is broken off.
        """
        try:
            async with asyncio.timeout(SILENT_FOR):
                chunk: bytes = await self._stream.read(CHUNK_BYTES)
                return chunk
        except SDK_ERRORS as error:
            raise translate(error, "GetObject", self._config) from error
        except TimeoutError as error:
            raise unreachable(self._config, f"nothing came within {SILENT_FOR:.0f} s") from error

    def close(self) -> None:
        """Let go; what was not read is lost, and the connection with it."""
        self._stream.close()
