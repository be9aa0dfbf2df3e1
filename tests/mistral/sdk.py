"""The real SDK, connected to the fake, for its tests."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mistralai.client import Mistral, models
from mistralai.client.types import UNSET
from mistralai.client.utils import BackoffStrategy, RetryConfig

from tests.documents import PDF

MODEL = "mistral-ocr-latest"
TIMEOUT_MS = 10_000
SHORT_TIMEOUT_MS = 300

RETRIES = RetryConfig(
    "backoff", BackoffStrategy(1, 5, 1.5, 5_000, jitter_ms=1), retry_connection_errors=True
)
"""Up to five seconds of attempts that follow one another at once."""


class SdkClient:
    """The SDK with the arguments most tests give it."""

    def __init__(self, mistral: Mistral) -> None:
        self.mistral = mistral
        self.files = mistral.files
        self.jobs = mistral.batch.jobs

    async def process(
        self, document: models.DocumentUnion | models.DocumentUnionTypedDict, **more: Any
    ) -> models.OCRResponse:
        """Process a document."""
        return await self.mistral.ocr.process_async(
            **{"model": MODEL, "document": document, "include_blocks": False, **more}
        )

    async def process_pdf(self, content: bytes, **more: Any) -> models.OCRResponse:
        """Process a PDF that is sent along."""
        return await self.process(inline_document(content), **more)

    async def upload(
        self, content: bytes, name: str = "a.pdf", purpose: models.FilePurpose = "ocr"
    ) -> str:
        """Upload a file and return its id."""
        file: models.FileTypedDict = {"file_name": name, "content": content}
        return (await self.files.upload_async(file=file, purpose=purpose)).id

    async def download(self, id_: str) -> bytes:
        """Return the content of a file."""
        answer = await self.files.download_async(file_id=id_)
        return await answer.aread()


@asynccontextmanager
async def connected(
    url: str, key: str | None, retries: RetryConfig | None = None
) -> AsyncIterator[SdkClient]:
    """Connect to the fake with this key."""
    # Both clients are given, without certificates: to load those takes longer than most tests.
    with httpx2.Client(verify=False) as unused:
        async with (
            httpx2.AsyncClient(verify=False) as http,
            Mistral(
                api_key=key,
                server_url=url,
                client=unused,
                async_client=http,
                timeout_ms=TIMEOUT_MS,
                retry_config=UNSET if retries is None else retries,
            ) as mistral,
        ):
            yield SdkClient(mistral)


def data_url(content: bytes, mime: str) -> str:
    """Return a URL that is its own content."""
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def inline_document(content: bytes, mime: str = PDF) -> models.DocumentURLChunk:
    """Return a document that is sent along."""
    return models.DocumentURLChunk(document_url=data_url(content, mime))


def uploaded_document(id_: str) -> models.FileChunk:
    """Return a document that was uploaded before."""
    return models.FileChunk(file_id=id_)


def batch_request(content: bytes, custom_id: str) -> models.BatchRequest:
    """Return a request of a batch job for a PDF that is sent along."""
    document = {"type": "document_url", "document_url": data_url(content, PDF)}
    body = {"document": document, "include_blocks": False}
    return models.BatchRequest(custom_id=custom_id, body=body)


def batch_requests(*contents: bytes) -> list[models.BatchRequest]:
    """Return requests for these PDFs, called n-0, n-1 and so on."""
    return [batch_request(content, f"n-{number}") for number, content in enumerate(contents)]
