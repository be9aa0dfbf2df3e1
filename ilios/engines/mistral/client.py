"""Client of the API: one method for each operation, without retries.

What every document and every start needs is called without the SDK; see ``ocr``, ``files`` and
``sdk``.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import IO, Any

import httpx2

from ilios.engines.mistral.errors import RefusedCall
from ilios.engines.mistral.files import LIST_PAGE_SIZE, FilesEndpoint
from ilios.engines.mistral.ocr import CONNECT_SECONDS, OcrEndpoint, OcrResponse, open_session
from ilios.engines.mistral.records import BatchJob, Purpose, SdkCalls, UploadedFile
from ilios.secret import Secret

SERVER_URL = "https://api.mistral.ai"
KEY_CHECK_SECONDS = 1.5  # less than a check of health may take

_BASIC_MODELS = ("mistral-ocr-2505",)
_WITHOUT_CONFIDENCE = (*_BASIC_MODELS, "mistral-ocr-2512")


class MistralClient:
    """Calls of the API. Errors are those of ``errors.classify``."""

    def __init__(
        self,
        endpoint: OcrEndpoint,
        files: FilesEndpoint,
        load_sdk: Callable[[], Awaitable[SdkCalls]],
        call_timeout: float,
    ) -> None:
        self._endpoint = endpoint
        self._files = files
        self._load_sdk = load_sdk
        self._loading = asyncio.Lock()
        self._loaded: SdkCalls | None = None
        self._timeout = call_timeout

    @classmethod
    @asynccontextmanager
    async def open(
        cls, key: Secret, server_url: str | None, *, max_concurrent_calls: int, call_timeout: float
    ) -> AsyncIterator["MistralClient"]:
        """Open a client; connections are made by the first calls."""
        url, certificates = server_url or SERVER_URL, httpx2.create_ssl_context()

        def make_sdk() -> AbstractAsyncContextManager[SdkCalls]:
            from ilios.engines.mistral.sdk import Sdk  # noqa: PLC0415  12 MB, a fifth of a second

            return Sdk.open(
                key,
                url,
                max_concurrent_calls=max_concurrent_calls,
                call_timeout=call_timeout,
                ssl_context=certificates,
            )

        async with AsyncExitStack() as stack:

            async def load_sdk() -> SdkCalls:
                return await stack.enter_async_context(await asyncio.to_thread(make_sdk))

            session = await stack.enter_async_context(
                open_session(
                    key, max_connections=max_concurrent_calls * 2, ssl_context=certificates
                )
            )
            yield cls(
                OcrEndpoint(session, url), FilesEndpoint(session, url), load_sdk, call_timeout
            )

    async def ocr(
        self, model: str, document: dict[str, Any], pages: list[int] | None, *, images: bool
    ) -> OcrResponse:
        """Run OCR on a document, or on some of its pages (counted from 0)."""
        request = {"model": model, "document": document}
        request |= ocr_options(model, pages, images=images)
        async with asyncio.timeout(self._timeout):
            return await self._endpoint.call(request)

    async def delete(self, file_id: str) -> None:
        """Delete a file; a missing one is no error."""
        async with asyncio.timeout(CONNECT_SECONDS):
            try:
                await self._files.delete(file_id)
            except RefusedCall as error:
                if error.status_code != 404:
                    raise

    async def check_key(self) -> None:
        """Make a call that costs nothing and needs the key."""
        async with asyncio.timeout(KEY_CHECK_SECONDS):
            await self._files.page(0, 1)

    async def list_files(self, prefix: str, purpose: Purpose = "ocr") -> list[UploadedFile]:
        """Return the files whose names have this prefix."""
        found: list[UploadedFile] = []
        number = 0
        while True:
            async with asyncio.timeout(self._timeout):
                page = await self._files.page(
                    number, LIST_PAGE_SIZE, search=prefix, purpose=purpose
                )
            found += [one for one in page if one.name.startswith(prefix)]
            if len(page) < LIST_PAGE_SIZE:
                return found
            number += 1

    async def upload(self, name: str, content: IO[bytes], purpose: Purpose = "ocr") -> str:
        """Upload a file and return its id; as ``SdkCalls.upload``."""
        return await (await self._sdk()).upload(name, content, purpose)

    async def find_job(self, metadata: dict[str, str]) -> BatchJob | None:
        """Return a batch job; as ``SdkCalls.find_job``."""
        return await (await self._sdk()).find_job(metadata)

    async def create_job(self, input_file: str, model: str, metadata: dict[str, str]) -> BatchJob:
        """Create a batch job; as ``SdkCalls.create_job``."""
        return await (await self._sdk()).create_job(input_file, model, metadata)

    async def get_job(self, job_id: str) -> BatchJob | None:
        """Return a batch job, or None."""
        return await (await self._sdk()).get_job(job_id)

    async def cancel_job(self, job_id: str) -> None:
        """Ask a batch job to stop."""
        await (await self._sdk()).cancel_job(job_id)

    async def delete_job(self, job_id: str) -> None:
        """Delete a batch job; a missing one is no error."""
        await (await self._sdk()).delete_job(job_id)

    async def read_lines(self, file_id: str) -> AsyncIterator[bytes]:
        """Stream the lines of a file."""
        async for line in (await self._sdk()).read_lines(file_id):
            yield line

    async def _sdk(self) -> SdkCalls:
        async with self._loading:
            if self._loaded is None:
                self._loaded = await self._load_sdk()
            return self._loaded


def ocr_options(model: str, pages: list[int] | None, *, images: bool) -> dict[str, Any]:
    """Return the options of a request that the model supports."""
    chosen: dict[str, Any] = {"include_blocks": False}
    if pages is not None:
        chosen["pages"] = pages
    if images:
        chosen["include_image_base64"] = True
    else:
        chosen["image_limit"] = 0
    if model not in _BASIC_MODELS:
        chosen |= {"table_format": "markdown", "extract_header": True, "extract_footer": True}
    if model not in _WITHOUT_CONFIDENCE:
        chosen["confidence_scores_granularity"] = "page"
    return chosen
