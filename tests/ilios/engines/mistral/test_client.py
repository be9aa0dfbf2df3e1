"""The client of the API: what it does without the SDK, and errors of the SDK as its own."""

import io
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from mistralai.client.sdkconfiguration import SERVERS

from ilios.engines.mistral import client as module
from ilios.engines.mistral.client import MistralClient
from ilios.engines.mistral.errors import ApiError, RefusedCall, classify
from ilios.secret import Secret
from tests.mistral.fake import FakeMistral


@pytest.fixture
async def client(fake: FakeMistral) -> AsyncIterator[MistralClient]:
    async with MistralClient.open(
        Secret(fake.key), fake.url, max_concurrent_calls=2, call_timeout=30
    ) as client:
        yield client


def test_a_start_does_not_load_the_sdk() -> None:
    loading = "import ilios.service, ilios.engines.mistral.engine, sys; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", loading], capture_output=True, text=True, check=True
    )
    assert "ilios.engines.mistral.client" in result.stdout.split()
    assert "mistralai" not in result.stdout.split()


def test_the_usual_server_is_that_of_the_sdk() -> None:
    assert SERVERS["global"] == module.SERVER_URL


async def test_all_pages_of_a_list_of_files_are_read(
    client: MistralClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LIST_PAGE_SIZE", 2)
    names = {f"mine-{number}.pdf" for number in range(4)}
    for name in (*names, "of-mine-and-others.pdf"):
        await client.upload(name, io.BytesIO(b"%PDF-1.7"))
    found = await client.list_files("mine-")
    assert {one.name for one in found} == names
    assert await client.list_files("mine-", "batch") == []


async def test_a_file_is_deleted_once_or_more_often(client: MistralClient) -> None:
    file = await client.upload("mine.pdf", io.BytesIO(b"%PDF-1.7"))
    await client.delete(file)
    await client.delete(file)
    assert await client.list_files("mine") == []


async def test_refusals_are_those_of_the_api_with_and_without_the_sdk(fake: FakeMistral) -> None:
    async with MistralClient.open(
        Secret("wrong"), fake.url, max_concurrent_calls=2, call_timeout=30
    ) as client:
        for call in (
            client.list_files("mine"),
            client.delete("file"),
            client.upload("mine.pdf", io.BytesIO(b"%PDF-1.7")),
            client.find_job({}),
            client.get_job("job"),
        ):
            with pytest.raises(RefusedCall) as refused:
                await call
            found = classify(refused.value)
            assert isinstance(found, ApiError)
            assert (found.kind, found.code) == ("account", "engine_bad_key")
