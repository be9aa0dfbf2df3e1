"""Kills at any moment: every accepted document is completed with its content, billed once."""

import asyncio
import random
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import nats
import pytest

from bus import streams
from ilios.chaos.clients import Workload
from ilios.chaos.documents import EXPECTED_CODES
from ilios.chaos.http_client import open_client
from ilios.chaos.processes import NoSuchProcess
from ilios.chaos.record import RunRecord
from tests import documents
from tests.journeys.running import RunningService, Target, running_service
from tests.waiting import wait_until

DOCUMENTS, CLIENTS, KILLS = 100, 6, 5
TARGETS: tuple[Target, ...] = ("service", "nats-server", "engine", "all")
ENDED_WITHIN = 90.0  # seconds after the last fault; a machine under load is slow, not wrong


class Submitters:
    """Clients that submit until enough documents are accepted, whatever happens meanwhile.

    ``accepted`` maps the id of each accepted document to the words that only its text has.
    """

    def __init__(self, service: RunningService) -> None:
        self._service = service
        self._begun = 0
        self.accepted: dict[str, str] = {}

    async def submit_all(self) -> None:
        """Return when ``DOCUMENTS`` documents are accepted."""
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            await asyncio.gather(*(self._submit(session) for _ in range(CLIENTS)))

    async def _submit(self, session: aiohttp.ClientSession) -> None:
        while self._begun < DOCUMENTS:
            self._begun += 1
            words = f"Token{self._begun:05d} belongs to document {self._begun}"
            form = aiohttp.FormData()
            form.add_field("file", documents.pdf(words), filename="same-name.pdf")
            try:
                async with session.post(
                    f"{self._service.url}/api/documents/submit", data=form
                ) as answer:
                    if answer.status == 202:
                        self.accepted[(await answer.json())["id"]] = words
                        continue
                    assert answer.status in (503, 507), await answer.text()
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)  # the service is being restarted
            self._begun -= 1  # not accepted: as if it had never been


def state_counts(database: Path) -> dict[str, int]:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return dict(
            connection.execute("SELECT state, count(*) FROM documents GROUP BY state").fetchall()
        )


@pytest.mark.parametrize(
    ("victim", "seed"),
    [
        pytest.param("service", 1, marks=pytest.mark.slow),
        pytest.param("nats-server", 2, marks=pytest.mark.slow),
        pytest.param("engine", 3, marks=pytest.mark.slow),
        ("all", 4),
        pytest.param("all", 5, marks=pytest.mark.long),
    ],
)
async def test_every_accepted_document_is_completed_and_billed_once_after_a_kill(
    victim: Target, seed: int, tmp_path: Path
) -> None:
    moment = random.Random(seed).randrange(10, DOCUMENTS - 10)  # accepted documents
    async with running_service(tmp_path) as service:
        submitters = Submitters(service)
        submitting = asyncio.create_task(submitters.submit_all())
        await wait_until(lambda: len(submitters.accepted) >= moment, within=60)
        await service.kill(victim)
        if service.has_ended:
            await service.start()
        await asyncio.wait_for(submitting, 60)

        database = tmp_path / "ilios.db"
        await wait_until(
            lambda: (
                set(state_counts(database)) == {"completed"}
                and state_counts(database)["completed"] >= DOCUMENTS
            ),
            within=ENDED_WITHIN,
        )

        with sqlite3.connect(database) as connection:
            billed = connection.execute("SELECT document_id FROM usage").fetchall()
            stored = connection.execute("SELECT id FROM documents").fetchall()
        assert sorted(billed) == sorted(stored)
        assert submitters.accepted.keys() <= {document for (document,) in stored}
        async with aiohttp.ClientSession() as session:
            for document, words in submitters.accepted.items():
                async with session.get(f"{service.url}/api/documents/{document}") as answer:
                    assert answer.status == 200
                    assert (await answer.text()).strip() == words


async def kill_repeatedly(service: RunningService, record: RunRecord, seed: int) -> None:
    rng = random.Random(-seed)
    for due in sorted(rng.sample(range(5, DOCUMENTS - 5), KILLS)):
        await wait_until(lambda due=due: len(record.documents) >= due, within=60)  # type: ignore[misc]
        target = rng.choice(TARGETS)

        async def is_killed(target: Target = target) -> bool:
            with suppress(NoSuchProcess):  # an engine process is started when it has work
                await service.kill(target)
                return True
            return False

        await wait_until(is_killed)
        if service.has_ended:
            await service.start()


def rows(data: Path, question: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(f"file:{data}/ilios.db?mode=ro", uri=True) as database:
        return database.execute(question).fetchall()


def is_quiet(data: Path, record: RunRecord) -> bool:
    """Whether all accepted documents have ended, and every removed one is erased."""
    # What was accepted last may be on the log and not yet in the database.
    stored = {name for (name,) in rows(data, "SELECT id FROM documents")}
    return record.documents.keys() <= stored and not rows(
        data,
        "SELECT id FROM documents WHERE state IN ('pending', 'processing') "
        "OR removed_at IS NOT NULL AND erased_at IS NULL "
        "UNION ALL SELECT id FROM batches WHERE completed_at IS NULL",
    )


def check_rows(data: Path, record: RunRecord) -> None:
    """Check the tables against each other, and against what clients were promised."""
    found = {
        name: (state, batch, pages, code)
        for name, state, batch, pages, code in rows(
            data, "SELECT id, state, batch_id, pages, code FROM documents"
        )
    }
    billed = [name for (name,) in rows(data, "SELECT document_id FROM usage")]
    assert sorted(billed) == sorted(name for name, one in found.items() if one[2] is not None)
    batches = {name for (name,) in rows(data, "SELECT id FROM batches")}
    assert batches == {batch for _, batch, _, _ in found.values() if batch}
    for batch, made in record.batches.items():
        assert made == sorted(name for name, one in found.items() if one[1] == batch)
    for name, document in record.documents.items():
        state, _, pages, code = found[name]
        if document.removal != "none":
            assert document.removal in ("asked", state)
            assert state in ("cancelled", "deleted")
            assert state == "deleted" or pages is None
        else:
            expected = EXPECTED_CODES.get(document.sample.kind)
            assert (state, code) == ("failed" if expected else "completed", expected)


async def check_batches(service: RunningService, session: aiohttp.ClientSession) -> None:
    """Check the status and the end of every batch against its documents and their bills."""
    data = service.data_dir
    counted = rows(
        data,
        "SELECT d.batch_id, count(*), count(u.document_id) FROM documents AS d "
        "LEFT JOIN usage AS u ON u.document_id = d.id WHERE d.batch_id IS NOT NULL GROUP BY 1",
    )
    ends = await ends_of_batches(data)
    assert sorted(ends) == sorted((batch, 1) for batch, _, _ in counted), "each ends once"
    for batch, total, billed in counted:
        async with session.get(f"{service.url}/v1/batch/status/{batch}") as answer:
            assert (await answer.json())["progress"] == {
                "total": total,
                "pending": 0,
                "processing": 0,
                "completed": billed,
                "failed": total - billed,
            }


async def ends_of_batches(data: Path) -> list[tuple[str, int]]:
    """Return how many events end each batch."""
    bus = await nats.connect((data / "nats" / "operator.url").read_text().strip())
    info = await bus.jetstream().stream_info(
        streams.EVENTS, subjects_filter="ilios.batch.completed.>"
    )
    await bus.close()
    return [(name.rpartition(".")[2], times) for name, times in (info.state.subjects or {}).items()]


async def check_contents(
    service: RunningService, session: aiohttp.ClientSession, record: RunRecord
) -> None:
    for name, document in record.documents.items():
        async with session.get(f"{service.url}/api/documents/{name}") as answer:
            text = await answer.text()
            if document.removal != "none":
                assert answer.status == 410, text
            elif not document.sample.is_convertible:
                assert answer.status == 500, text
            else:
                assert (answer.status, document.sample.find_mismatch(text)) == (200, None)


@pytest.mark.parametrize(
    "seed", [pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.long)]
)
async def test_every_promise_holds_after_kills_under_mixed_load(tmp_path: Path, seed: int) -> None:
    async with running_service(tmp_path, ILIOS_JANITOR_INTERVAL="1") as service:
        record = RunRecord()
        async with asyncio.timeout(100), open_client(service) as client:
            operator_url = tmp_path / "nats" / "operator.url"
            workload = Workload(client, record, operator_url, seed, lambda: DOCUMENTS)
            await asyncio.gather(
                workload.run(CLIENTS, DOCUMENTS), kill_repeatedly(service, record, seed)
            )
        await wait_until(lambda: is_quiet(tmp_path, record), within=ENDED_WITHIN)

        assert record.violations == []
        check_rows(tmp_path, record)
        async with aiohttp.ClientSession() as session:
            await check_batches(service, session)
            await check_contents(service, session, record)

        removed = {one.name for one in record.documents.values() if one.removal != "none"}

        def bytes_of_removed() -> list[str]:
            return [
                path.name
                for path in (tmp_path / "blobs").rglob("*+*")
                if path.name.split("+")[2].partition(".")[0] in removed
            ]

        await wait_until(lambda: not bytes_of_removed(), within=30)
        assert record.batches
        assert removed
