"""Uploads and batch jobs by the SDK of Mistral, and its errors as those of this package.

Loaded by the first of these calls: the SDK takes 12 MB and a fifth of a second of CPU.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ssl import SSLContext
from typing import IO

import httpx2
from mistralai.client import Mistral, models
from mistralai.client.errors import MistralError, NoResponseError, ResponseValidationError

from ilios.engines.mistral.errors import ConnectionBroken, RefusedCall, UnreadableAnswer
from ilios.engines.mistral.files import LIST_PAGE_SIZE
from ilios.engines.mistral.ocr import CONNECT_SECONDS, IDLE_SECONDS
from ilios.engines.mistral.records import BatchJob, Purpose
from ilios.secret import Secret
from schemas.results import split_lines

JOBS_LIVE = timedelta(days=8)
"""A batch job may take a week; older ones have ended."""
EXPIRY_HOURS = 48
"""After this time the API deletes an upload itself, in case this installation is gone."""


class Sdk:
    """Implements ``SdkCalls``. Open one with ``open``."""

    def __init__(self, sdk: Mistral, call_timeout: float) -> None:
        self._sdk = sdk
        self._timeout = call_timeout

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        key: Secret,
        server_url: str,
        *,
        max_concurrent_calls: int,
        call_timeout: float,
        ssl_context: SSLContext,
    ) -> AsyncIterator["Sdk"]:
        """Open the SDK; connections are made by the first calls."""
        limits = httpx2.Limits(
            max_connections=max_concurrent_calls * 2,
            max_keepalive_connections=max_concurrent_calls,
            keepalive_expiry=IDLE_SECONDS,
        )
        timeout = httpx2.Timeout(call_timeout, connect=CONNECT_SECONDS)
        # Without a synchronous client the SDK makes one, and loads certificates for it.
        with httpx2.Client(verify=False) as unused:
            async with (
                httpx2.AsyncClient(
                    follow_redirects=True, limits=limits, timeout=timeout, verify=ssl_context
                ) as http,
                Mistral(
                    api_key=key.get_secret_value(),
                    server_url=server_url,
                    client=unused,
                    async_client=http,
                    timeout_ms=int(call_timeout * 1000),
                ) as sdk,
            ):
                yield cls(sdk, call_timeout)

    async def upload(self, name: str, content: IO[bytes], purpose: Purpose) -> str:
        """Upload a file and return its id; it expires after ``EXPIRY_HOURS``."""
        async with self._call():
            uploaded = await self._sdk.files.upload_async(
                file={"file_name": name, "content": content}, purpose=purpose, expiry=EXPIRY_HOURS
            )
        return uploaded.id

    async def find_job(self, metadata: dict[str, str]) -> BatchJob | None:
        """Return the newest batch job with this metadata, or None; old ones are ignored."""
        since = datetime.now(UTC) - JOBS_LIVE
        page = 0
        while True:
            # Not by metadata: the SDK serializes that filter as separate parameters.
            async with self._call():
                listed = await self._sdk.batch.jobs.list_async(
                    page=page, page_size=LIST_PAGE_SIZE, created_after=since
                )
            jobs = listed.data or []
            for job in jobs:
                if _has_metadata(job, metadata):
                    return _record(job)
            if len(jobs) < LIST_PAGE_SIZE:
                return None
            page += 1

    async def create_job(self, input_file: str, model: str, metadata: dict[str, str]) -> BatchJob:
        """Create a batch job for the OCR requests in an uploaded file."""
        async with self._call():
            return _record(
                await self._sdk.batch.jobs.create_async(
                    endpoint="/v1/ocr", input_files=[input_file], model=model, metadata=metadata
                )
            )

    async def get_job(self, job_id: str) -> BatchJob | None:
        """Return a batch job, or None."""
        try:
            async with self._call():
                return _record(await self._sdk.batch.jobs.get_async(job_id=job_id))
        except RefusedCall as error:
            if error.status_code != 404:
                raise
            return None

    async def cancel_job(self, job_id: str) -> None:
        """Ask a batch job to stop."""
        async with self._call():
            await self._sdk.batch.jobs.cancel_async(job_id=job_id)

    async def delete_job(self, job_id: str) -> None:
        """Delete a batch job; a missing one is no error."""
        try:
            async with self._call():
                await self._sdk.batch.jobs.delete_async(job_id=job_id)
        except RefusedCall as error:
            if error.status_code != 404:
                raise

    async def read_lines(self, file_id: str) -> AsyncIterator[bytes]:
        """Stream the lines of a file."""
        async with _own_errors():
            answer = await self._sdk.files.download_async(file_id=file_id)
        try:
            async for line in split_lines(answer.aiter_bytes()):
                yield line
        finally:
            await answer.aclose()

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[None]:
        async with _own_errors(), asyncio.timeout(self._timeout):
            yield


@asynccontextmanager
async def _own_errors() -> AsyncIterator[None]:
    """Raise the errors of the SDK as those of this package; those of HTTP pass."""
    try:
        yield
    except ResponseValidationError as error:
        raise UnreadableAnswer(str(error)) from error
    except MistralError as error:
        raise RefusedCall(error.status_code, error.body or "", error.headers) from error
    except NoResponseError as error:
        raise ConnectionBroken(str(error)) from error


def _record(job: models.BatchJob) -> BatchJob:
    return BatchJob(
        id=job.id,
        status=str(job.status),
        total_requests=job.total_requests,
        completed_requests=job.completed_requests,
        failed_requests=job.failed_requests,
        output_file=job.output_file or None,
        error_file=job.error_file or None,
    )


def _has_metadata(job: models.BatchJob, metadata: dict[str, str]) -> bool:
    return isinstance(job.metadata, dict) and metadata.items() <= job.metadata.items()
