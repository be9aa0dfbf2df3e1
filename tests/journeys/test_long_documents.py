"""Long documents across restarts of the service: finished ranges are not converted again."""

from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from ilios.engines.local.ranges import RANGE_PAGES
from tests import documents
from tests.journeys.data_directory import blob_names
from tests.journeys.running import RunningService
from tests.journeys.service_client import ServiceClient
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")

WITHIN = 60.0  # seconds
PAGES = [f"Page {number} of many" for number in range(1, 2 * RANGE_PAGES + 8)]


def parts(data: Path) -> list[str]:
    return sorted(name.rpartition(".")[2] for name in blob_names(data) if ".from-" in name)


def converted_ranges(log: Path) -> list[int]:
    """Return the first positions of the ranges that were converted, in order."""
    lines: list[dict[str, Any]] = [
        msgspec.json.decode(line) for line in log.read_bytes().splitlines()
    ]
    return [line["first"] for line in lines if line["event"] == "range converted"]


async def test_a_service_killed_between_two_ranges_goes_on_at_the_first_missing_one(
    tmp_path: Path,
) -> None:
    service = RunningService(tmp_path / "data", ILIOS_LOG_LEVEL="info")
    service.log = tmp_path / "log"
    service.armed = "engine.range_stored"
    await service.start()
    try:
        async with ServiceClient(service) as client:
            form = aiohttp.FormData()
            form.add_field("file", documents.pdf(*PAGES), filename="long.pdf")
            form.add_field("partial", "true")  # has no effect on what is within its budget
            answer = await client.send("POST", "/api/documents/submit", data=form)
            document = msgspec.json.decode(answer.body)["id"]
            await service.wait_until_killed()
            assert parts(service.data_dir) == ["from-0"]

            await service.start()

            async def is_completed() -> bool:
                return await client.status(document) == "completed"

            await wait_until(is_completed, within=WITHIN)
            text = (await client.send("GET", f"/api/documents/{document}")).body.decode()
            assert text.strip().split("\n\n---\n\n") == PAGES
            answer = await client.send("GET", f"/api/documents/status/{document}")
            assert "partial" not in msgspec.json.decode(answer.body)
            usage = await client.send("GET", "/api/usage/summary")
            pages = f'"totalPages":{len(PAGES)}'.encode()
            assert pages in usage.body.replace(b" ", b""), usage.body
        assert converted_ranges(service.log) == [0, RANGE_PAGES, 2 * RANGE_PAGES]
        await wait_until(lambda: not parts(service.data_dir), within=WITHIN)
    finally:
        await service.stop()
