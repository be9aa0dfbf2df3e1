"""Kills at any moment: every accepted document is completed with its content, billed once."""

import asyncio
import random
import sqlite3
from pathlib import Path

import aiohttp
import pytest

from tests import documents
from tests.journeys.running import RunningService, Target, running_service
from tests.waiting import wait_until

DOCUMENTS = 200
CLIENTS = 8
ENDED_WITHIN = 60.0  # seconds after the last fault; a machine under load is slow, not wrong


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


def _states(database: Path) -> dict[str, int]:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return dict(
            connection.execute("SELECT state, count(*) FROM documents GROUP BY state").fetchall()
        )


@pytest.mark.parametrize(
    ("victim", "seed"),
    [("service", 1), ("nats-server", 2), ("engine", 3), ("all", 4), ("all", 5)],
)
async def test_every_accepted_document_is_completed_and_billed_once_after(
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
                set(_states(database)) == {"completed"}
                and _states(database)["completed"] >= DOCUMENTS
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
