"""What is urgent overtakes what is not, and what is not still moves."""

from pathlib import Path
from typing import Any

import aiohttp

from tests import documents
from tests.journeys.running import running_service
from tests.waiting import wait_until

BACKLOG = 500
IN_ONE_BATCH = 100
WITHIN = 100.0  # seconds


async def test_an_urgent_document_overtakes_a_backlog_and_the_backlog_still_moves(
    tmp_path: Path,
) -> None:
    slow = documents.pdf(*(f"page {number} " * 50 for number in range(60)))
    async with (
        running_service(tmp_path, WORKER_COUNT="1") as service,
        aiohttp.ClientSession(service.url) as session,
    ):

        async def submit(count: int, priority: int) -> str:
            form = aiohttp.FormData()
            for number in range(count):
                form.add_field("files", slow, filename=f"{number}.pdf")
            form.add_field("priority", str(priority))
            async with session.post("/v1/batch/submit", data=form) as response:
                assert response.status == 202
                return str((await response.json())["batchId"])

        async def progress(batch: str) -> Any:
            async with session.get(f"/v1/batch/status/{batch}") as response:
                return (await response.json())["progress"]

        backlog = [await submit(IN_ONE_BATCH, 1) for _ in range(BACKLOG // IN_ONE_BATCH)]

        async def waiting() -> int:
            counts = [await progress(batch) for batch in backlog]
            return sum(count["pending"] + count["processing"] for count in counts)

        before = await waiting()
        assert before > BACKLOG // 2, "there is a backlog to overtake"
        urgent = await submit(20, 9)

        async def is_done() -> bool:
            return bool((await progress(urgent))["completed"] == 20)

        await wait_until(is_done, WITHIN)
        overtaken = await waiting()
        # With turns of 8 to 1 and a few that were in hand already, far fewer than went before it.
        assert before - overtaken < 40
        assert overtaken > BACKLOG // 2

        async def moves() -> bool:
            return await waiting() < overtaken

        await wait_until(moves, WITHIN)
