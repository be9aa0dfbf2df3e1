"""What is at Mistral, files and batch jobs, and the operations for which the SDK is loaded."""

from collections.abc import AsyncIterator
from typing import IO, Literal, Protocol

from msgspec import Struct

Purpose = Literal["ocr", "batch"]
"""What a file is for."""


class UploadedFile(Struct, frozen=True):
    """A file."""

    id: str
    name: str


class BatchJob(Struct, frozen=True):
    """A batch job: how far it is, and its files once it has them."""

    id: str
    status: str
    total_requests: int
    completed_requests: int
    failed_requests: int
    output_file: str | None = None
    error_file: str | None = None


class SdkCalls(Protocol):
    """Calls made by the SDK, without retries; errors are those of ``errors.classify``."""

    async def upload(self, name: str, content: IO[bytes], purpose: Purpose) -> str:
        """Upload a file and return its id; it expires after some time."""
        ...

    async def find_job(self, metadata: dict[str, str]) -> BatchJob | None:
        """Return the newest batch job with this metadata, or None; old ones are ignored."""
        ...

    async def create_job(self, input_file: str, model: str, metadata: dict[str, str]) -> BatchJob:
        """Create a batch job for the OCR requests in an uploaded file."""
        ...

    async def get_job(self, job_id: str) -> BatchJob | None:
        """Return a batch job, or None."""
        ...

    async def cancel_job(self, job_id: str) -> None:
        """Ask a batch job to stop."""
        ...

    async def delete_job(self, job_id: str) -> None:
        """Delete a batch job; a missing one is no error."""
        ...

    def read_lines(self, file_id: str) -> AsyncIterator[bytes]:
        """Stream the lines of a file."""
        ...
