"""Client of the API: one method for each operation, without retries.

OCR, which every document needs, is called without the SDK; see ``ocr``.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import IO, Any

import httpx2
from mistralai.client import Mistral, models
from mistralai.client.errors import MistralError
from msgspec import Struct

from ilios.engines.mistral.ocr import CONNECT_SECONDS, IDLE_SECONDS, OcrEndpoint, OcrResponse
from ilios.secret import Secret
from schemas.results import split_lines

KEY_CHECK_SECONDS = 1.5  # less than a check of health may take
LIST_PAGE_SIZE = 100
JOBS_LIVE = timedelta(days=8)
"""A batch job may take a week; older ones have ended."""
EXPIRY_HOURS = 48
"""After this time the API deletes an upload itself, in case this installation is gone."""

_BASIC_MODELS = ("mistral-ocr-2505",)
_WITHOUT_CONFIDENCE = (*_BASIC_MODELS, "mistral-ocr-2512")


class UploadedFile(Struct, frozen=True):
    """A file at Mistral."""

    id: str
    name: str


class MistralClient:
    """Calls of the API. Errors are those of the SDK and of HTTP; see ``errors.classify``."""

    def __init__(self, sdk: Mistral, endpoint: OcrEndpoint, call_timeout: float) -> None:
        self.sdk = sdk
        self._endpoint = endpoint
        self._timeout = call_timeout

    @classmethod
    @asynccontextmanager
    async def open(
        cls, key: Secret, server_url: str | None, *, max_concurrent_calls: int, call_timeout: float
    ) -> AsyncIterator["MistralClient"]:
        """Open a client; connections are made by the first calls."""
        limits = httpx2.Limits(
            max_connections=max_concurrent_calls * 2,
            max_keepalive_connections=max_concurrent_calls,
            keepalive_expiry=IDLE_SECONDS,
        )
        timeout = httpx2.Timeout(call_timeout, connect=CONNECT_SECONDS)
        certificates = httpx2.create_ssl_context()
        # Without a synchronous client the SDK makes one, and loads certificates for it.
        with httpx2.Client(verify=False) as unused:
            async with (
                httpx2.AsyncClient(
                    follow_redirects=True, limits=limits, timeout=timeout, verify=certificates
                ) as http,
                Mistral(
                    api_key=key.get_secret_value(),
                    server_url=server_url,
                    client=unused,
                    async_client=http,
                    timeout_ms=int(call_timeout * 1000),
                ) as sdk,
                OcrEndpoint.open(
                    key,
                    sdk.sdk_configuration.get_server_details()[0],
                    max_connections=max_concurrent_calls * 2,
                    ssl_context=certificates,
                ) as endpoint,
            ):
                yield cls(sdk, endpoint, call_timeout)

    async def ocr(
        self, model: str, document: dict[str, Any], pages: list[int] | None, *, images: bool
    ) -> OcrResponse:
        """Run OCR on a document, or on some of its pages (counted from 0)."""
        request = {"model": model, "document": document}
        request |= ocr_options(model, pages, images=images)
        async with asyncio.timeout(self._timeout):
            return await self._endpoint.call(request)

    async def upload(
        self, name: str, content: IO[bytes], purpose: models.FilePurpose = "ocr"
    ) -> str:
        """Upload a file and return its id; it expires after ``EXPIRY_HOURS``."""
        async with asyncio.timeout(self._timeout):
            uploaded = await self.sdk.files.upload_async(
                file={"file_name": name, "content": content}, purpose=purpose, expiry=EXPIRY_HOURS
            )
        return uploaded.id

    async def delete(self, file_id: str) -> None:
        """Delete a file; a missing one is no error."""
        async with asyncio.timeout(CONNECT_SECONDS):
            try:
                await self.sdk.files.delete_async(file_id=file_id)
            except MistralError as error:
                if error.status_code != 404:
                    raise

    async def check_key(self) -> None:
        """Make a call that costs nothing and needs the key."""
        async with asyncio.timeout(KEY_CHECK_SECONDS):
            await self.sdk.files.list_async(page=0, page_size=1)

    async def list_files(
        self, prefix: str, purpose: models.FilePurpose = "ocr"
    ) -> list[UploadedFile]:
        """Return the files whose names have this prefix."""
        found: list[UploadedFile] = []
        page = 0
        while True:
            async with asyncio.timeout(self._timeout):
                listed = await self.sdk.files.list_async(
                    page=page, page_size=LIST_PAGE_SIZE, search=prefix, purpose=purpose
                )
            found += _with_prefix(listed.data, prefix)
            if len(listed.data) < LIST_PAGE_SIZE:
                return found
            page += 1

    async def find_job(self, metadata: dict[str, str]) -> models.BatchJob | None:
        """Return the newest batch job with this metadata, or None; old ones are ignored."""
        since = datetime.now(UTC) - JOBS_LIVE
        page = 0
        while True:
            # Not by metadata: the SDK serializes that filter as separate parameters.
            async with asyncio.timeout(self._timeout):
                listed = await self.sdk.batch.jobs.list_async(
                    page=page, page_size=LIST_PAGE_SIZE, created_after=since
                )
            jobs = listed.data or []
            for job in jobs:
                if _has_metadata(job, metadata):
                    return job
            if len(jobs) < LIST_PAGE_SIZE:
                return None
            page += 1

    async def create_job(
        self, input_file: str, model: str, metadata: dict[str, str]
    ) -> models.BatchJob:
        """Create a batch job for the OCR requests in an uploaded file."""
        async with asyncio.timeout(self._timeout):
            return await self.sdk.batch.jobs.create_async(
                endpoint="/v1/ocr", input_files=[input_file], model=model, metadata=metadata
            )

    async def get_job(self, job_id: str) -> models.BatchJob | None:
        """Return a batch job, or None."""
        async with asyncio.timeout(self._timeout):
            try:
                return await self.sdk.batch.jobs.get_async(job_id=job_id)
            except MistralError as error:
                if error.status_code != 404:
                    raise
                return None

    async def cancel_job(self, job_id: str) -> None:
        """Ask a batch job to stop."""
        async with asyncio.timeout(self._timeout):
            await self.sdk.batch.jobs.cancel_async(job_id=job_id)

    async def delete_job(self, job_id: str) -> None:
        """Delete a batch job; a missing one is no error."""
        async with asyncio.timeout(self._timeout):
            try:
                await self.sdk.batch.jobs.delete_async(job_id=job_id)
            except MistralError as error:
                if error.status_code != 404:
                    raise

    async def read_lines(self, file_id: str) -> AsyncIterator[bytes]:
        """Stream the lines of a file."""
        answer = await self.sdk.files.download_async(file_id=file_id)
        try:
            async for line in split_lines(answer.aiter_bytes()):
                yield line
        finally:
            await answer.aclose()


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


def _with_prefix(files: Iterable[models.FileSchema], prefix: str) -> list[UploadedFile]:
    return [UploadedFile(one.id, one.filename) for one in files if one.filename.startswith(prefix)]


def _has_metadata(job: models.BatchJob, metadata: dict[str, str]) -> bool:
    return isinstance(job.metadata, dict) and metadata.items() <= job.metadata.items()
