"""Who is slow keeps nobody else waiting."""

import asyncio
import io
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests import documents
from tests.journeys.running import running_service
from tests.waiting import wait_until

SLOW, OTHER = "key-of-the-slow-one", "key-of-the-other-one"
WITHIN = 90.0  # seconds


class Tenant:
    """Submits documents with a key of its own, and asks after them."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"}
        self._session = aiohttp.ClientSession()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def submit(self, content: bytes) -> str:
        form = aiohttp.FormData()
        form.add_field(
            "file", io.BytesIO(content), filename="a.pdf", content_type="application/pdf"
        )
        url = f"{self._url}/api/documents/submit"
        async with self._session.post(url, data=form, headers=self._headers) as response:
            assert response.status == 202
            return str((await response.json())["id"])

    async def status(self, name: str) -> Any:
        url = f"{self._url}/api/documents/status/{name}"
        async with self._session.get(url, headers=self._headers) as response:
            assert response.status == 200
            return await response.json()

    async def states(self, names: list[str]) -> set[str]:
        return {(await self.status(name))["status"] for name in names}


async def test_another_tenants_documents_are_converted_while_long_scans_hold_the_engine(
    tmp_path: Path,
) -> None:
    page = documents.text_image(*["Some words that have to be read"] * 12)
    scan = documents.image_file(page, "PDF", [page] * 99)
    async with (
        running_service(tmp_path, WORKER_COUNT="1", API_KEY=f"{SLOW},{OTHER}") as service,
        Tenant(service.url, SLOW) as slow,
        Tenant(service.url, OTHER) as other,
    ):
        # More of them than are taken in hand, so that the lane is full of them as well.
        long = [await slow.submit(scan + b"%% %d\n" % number) for number in range(12)]

        async def at_work() -> bool:
            return await slow.states(long[:1]) == {"processing"}

        await wait_until(at_work, WITHIN)
        text = [documents.pdf(f"A short text, number {number}.") for number in range(10)]
        short = await asyncio.gather(*map(other.submit, text))

        async def done() -> bool:
            return await other.states(list(short)) == {"completed"}

        await wait_until(done, WITHIN)
        assert await slow.states(long) <= {"pending", "processing"}
