"""A protected document survives a kill with its password, which is nowhere in plain text."""

import os
from contextlib import suppress
from pathlib import Path

import aiohttp
import msgspec
import pytest

from tests.journeys.commands import run_ilios
from tests.journeys.running import RunningService, running_service
from tests.journeys.service_client import ServiceClient, document_states
from tests.protected_pdfs import TEXT, protected_pdf
from tests.waiting import wait_until

PASSWORD = "canary-password-of-a-pdf"
WRONG = "canary-password-that-is-wrong"
PDF = protected_pdf("AES-256", PASSWORD.encode())
LOGGING = {"ILIOS_LOG_LEVEL": "debug"}


def form(password: str | None) -> aiohttp.FormData:
    made = aiohttp.FormData()
    made.add_field("file", PDF, filename="contract.pdf")
    if password is not None:
        made.add_field("password", password)
    return made


async def submit(client: ServiceClient, password: str | None, **headers: str) -> str:
    answer = await client.send(
        "POST", "/api/documents/submit", data=form(password), headers=headers
    )
    assert answer.status == 202, answer.body
    return str(msgspec.json.decode(answer.body)["id"])


async def ended(service: RunningService, document_id: str, state: str) -> None:
    database = service.data_dir / "ilios.db"
    await wait_until(lambda: document_states(database).get(document_id) == state, within=60)


def sealed_files(data: Path) -> list[Path]:
    return list((data / "blobs").glob("*/passwords+*"))


def places_of(text: str, data: Path) -> list[str]:
    """Return the files below a directory that have the text, and those that are named so."""
    found = []
    for directory, _, files in os.walk(data):
        for name in files:
            with suppress(FileNotFoundError):
                content = Path(directory, name).read_bytes()
                if text.encode() in content or text in name:
                    found.append(name)
    return found


async def test_a_protected_document_is_converted_after_a_kill_and_its_password_deleted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    async with running_service(data, **LOGGING) as service, ServiceClient(service) as client:
        await service.stop()
        service.armed = "edge.published"
        await service.start()
        # Killed when the document is on the log, before anybody was answered.
        key = {"Idempotency-Key": "one"}
        with suppress(aiohttp.ClientError):
            await submit(client, PASSWORD, **key)
        await service.wait_until_killed()
        assert len(sealed_files(data)) == 1
        assert places_of(PASSWORD, data) == []
        await service.start()
        document_id = await submit(client, WRONG, **key)  # the first password counts
        await ended(service, document_id, "completed")
        assert await client.first_line(document_id) == TEXT

        wrong = await client.send("POST", "/v1/convert", data=form(WRONG))
        assert (wrong.status, wrong.code) == (422, "password_incorrect")
        without = await client.send("POST", "/v1/convert", data=form(None))
        assert (without.status, without.code) == (422, "password_protected")
        assert (await client.send("POST", "/v1/convert", data=form(PASSWORD))).status == 200
        await wait_until(lambda: not sealed_files(data))
        for secret in (PASSWORD, WRONG):
            assert places_of(secret, data) == []
        for pid in (service.pid, *service.children("")):
            with suppress(FileNotFoundError):
                shown = Path(f"/proc/{pid}/cmdline").read_bytes()
                assert b"canary" not in shown + Path(f"/proc/{pid}/environ").read_bytes()
    logged = capfd.readouterr().err
    assert '"level":"debug"' in logged.replace('": "', '":"'), "the log was looked at in vain"
    assert "canary" not in logged
    for secret in (PASSWORD, WRONG):
        assert places_of(secret, data) == []


@pytest.mark.slow
async def test_a_requeued_document_asks_for_its_password_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running_service(data) as service, ServiceClient(service) as client:
        document_id = await submit(client, WRONG)
        await ended(service, document_id, "failed")
        await wait_until(lambda: not sealed_files(data))
        listed = await run_ilios(data, "dead", "list", "--json")
        letter = msgspec.json.decode(listed.out)
        requeued = await run_ilios(data, "dead", "requeue", str(letter["number"]))
        assert requeued.code == 0, requeued.errors

        async def asks_again() -> bool:
            answer = await client.send("GET", f"/api/documents/status/{document_id}")
            return b"password_required" in answer.body

        await wait_until(asks_again, within=60)
