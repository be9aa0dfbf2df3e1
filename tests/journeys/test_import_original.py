"""Documents of the original service are taken over: killed, repeated, and after a rebuild."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bus.failpoints import Failpoint
from tests import documents
from tests.ilios.database.originals import CREATED, Original
from tests.journeys.commands import CommandResult, run_ilios
from tests.journeys.running import running_service
from tests.waiting import wait_until

pytestmark = [pytest.mark.usefixtures("edge_in_core"), pytest.mark.slow]

KEY = "an-original-key-0123456789"
PAPER, SECOND, BROKEN, WAITING = (
    f"cm5x{name}00000000000000" for name in ("pap", "sec", "bro", "wai")
)
BATCH = "cm5xbatch000000000000000"
FILES = {PAPER: documents.pdf("A paper"), WAITING: documents.pdf("Has waited for years")}


@pytest.fixture
def original(tmp_path: Path) -> Original:
    made = Original(tmp_path)
    made.add_batch(BATCH, KEY)
    metadata = '{"model": "pixtral-12b-2409", "extractedPages": 7, "processingTimeMs": 1500}'
    made.add(
        PAPER,
        "completed",
        FILES[PAPER],
        content="# A paper\n",
        key=KEY,
        batch=BATCH,
        bills=2,
        metadata=metadata,
    )
    # Paid for and converted, and then marked as failed, as its bill could not be written.
    made.add(SECOND, "failed", b"%PDF second", content="# Second\n", key=KEY, batch=BATCH)
    made.add(BROKEN, "failed", b"%PDF broken", error="OCR failed: timeout", key=KEY)
    made.add(WAITING, "pending", FILES[WAITING], key=KEY)
    return made


async def take_over(
    data: Path, original: Original, *more: str, armed: Failpoint | None = None
) -> CommandResult:
    place = (str(original.database), "--files", str(original.files))
    return await run_ilios(data, "import-original", *place, *more, armed=armed, API_KEY=KEY)


class Client:
    """A client of the service with the key of the original."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url, self._session = url, session

    async def get(self, path: str) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with self._session.get(self._url + path, headers=headers) as answer:
            return answer.status, await answer.read()

    async def json(self, path: str) -> dict[str, Any]:
        return dict(json.loads((await self.get(path))[1]))

    async def has_ended(self, document: str, status: str) -> bool:
        return (await self.json(f"/api/documents/status/{document}")).get("status") == status


async def check_answers(client: Client) -> None:
    """Check that everything of the original is there under its id."""
    await wait_until(lambda: client.has_ended(BROKEN, "failed"), within=60)
    status = await client.json(f"/api/documents/status/{PAPER}")
    assert (status["status"], status["fileName"]) == ("completed", f"{PAPER}.pdf")
    assert status["metadata"]["pages"] == 7
    assert status["metadata"]["model"] == "pixtral-12b-2409"
    created = datetime.fromisoformat(status["createdAt"])
    assert created == datetime.fromtimestamp(CREATED, UTC)
    assert (await client.get(f"/api/documents/{PAPER}")) == (200, b"# A paper\n")
    assert (await client.get(f"/api/documents/{PAPER}/original")) == (200, FILES[PAPER])
    assert (await client.get(f"/api/documents/{SECOND}")) == (200, b"# Second\n")
    failure = await client.json(f"/api/documents/status/{BROKEN}")
    assert failure["error"] == "OCR failed: timeout"
    batch = await client.json(f"/v1/batch/status/{BATCH}")
    assert batch["status"] == "completed"
    assert batch["progress"]["completed"] == 2
    lines = (await client.get(f"/v1/batch/download/{BATCH}"))[1].splitlines()
    assert [json.loads(line)["content"] for line in lines] == ["# A paper\n", "# Second\n"]


async def test_an_import_can_be_killed_and_repeated_and_agrees_with_a_rebuild(
    tmp_path: Path, original: Original
) -> None:
    data = tmp_path / "data"
    async with running_service(data, API_KEY=KEY) as service, aiohttp.ClientSession() as session:
        client = Client(service.url, session)
        assert (await take_over(data, original, armed="publisher.sent")).code < 0
        done = await take_over(data, original)
        assert done.code == 0, done.errors
        again = await take_over(data, original)
        assert "documents  0 imported, 4 were before" in again.out
        await check_answers(client)
        # Both bills of one document, as they were: 6 cents.
        year = "startDate=2025-01-01T00:00:00Z&endDate=2025-12-31T00:00:00Z"
        usage = await client.json(f"/api/usage/summary?{year}")
        assert (usage["totalDocuments"], usage["totalCostCents"]) == (2, 6)
    checked = await run_ilios(data, "rebuild", "--check", "--snapshot", "none", API_KEY=KEY)
    assert checked.code == 0, checked.out + checked.errors


@pytest.mark.long
async def test_an_import_killed_at_each_step_is_whole_after_the_loss_of_the_database(
    tmp_path: Path, original: Original
) -> None:
    data = tmp_path / "data"
    async with running_service(data, API_KEY=KEY):
        pass
    points: tuple[Failpoint, ...] = (
        *("blobs.written", "blobs.put", "publisher.sending", "publisher.sent"),
    )
    for point in points:  # without the service, too
        assert (await take_over(data, original, armed=point)).code < 0
    assert (await take_over(data, original)).code == 0
    async with running_service(data, API_KEY=KEY) as service, aiohttp.ClientSession() as session:
        await check_answers(Client(service.url, session))
    for suffix in ("", "-wal", "-shm"):
        (data / f"ilios.db{suffix}").unlink(missing_ok=True)
    rebuilt = await run_ilios(data, "rebuild", "--snapshot", "none", API_KEY=KEY)
    assert rebuilt.code == 0, rebuilt.out + rebuilt.errors
    async with running_service(data, API_KEY=KEY) as service, aiohttp.ClientSession() as session:
        await check_answers(Client(service.url, session))


async def test_what_had_not_ended_is_converted_on_request(
    tmp_path: Path, original: Original
) -> None:
    data = tmp_path / "data"
    async with running_service(data, API_KEY=KEY) as service, aiohttp.ClientSession() as session:
        client = Client(service.url, session)
        first = await take_over(data, original)
        assert "1 documents had not ended" in first.out
        await wait_until(lambda: client.has_ended(WAITING, "failed"), within=60)
        converted = await take_over(data, original, "--convert")
        assert "1 documents are converted now" in converted.out
        await wait_until(lambda: client.has_ended(WAITING, "completed"), within=60)
        text = (await client.get(f"/api/documents/{WAITING}"))[1]
        assert b"Has waited for years" in text


async def test_a_document_whose_file_is_missing_waits_until_it_is_accepted(
    tmp_path: Path, original: Original
) -> None:
    (original.files / f"documents/{CREATED}-{PAPER}.pdf").unlink()
    data = tmp_path / "data"
    async with running_service(data, API_KEY=KEY) as service, aiohttp.ClientSession() as session:
        client = Client(service.url, session)
        checked = await take_over(data, original, "--check")
        assert checked.code == 1
        assert f"no file    {PAPER}" in checked.out
        assert (await client.get(f"/api/documents/status/{BROKEN}"))[0] == 404
        assert (await take_over(data, original)).code == 1
        assert (await client.get(f"/api/documents/{PAPER}"))[0] == 404
        accepted = await take_over(data, original, "--accept-missing")
        assert accepted.code == 0
        assert "documents  1 imported, 3 were before" in accepted.out
        await wait_until(lambda: client.has_ended(PAPER, "completed"), within=60)
        assert (await client.get(f"/api/documents/{PAPER}/original"))[0] == 404
    refused = await run_ilios(data, "import-original", str(data / "ilios.db"), "--files", "/")
    assert refused.code == 2
    assert "no database of the original service" in refused.errors
