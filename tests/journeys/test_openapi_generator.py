"""A client that OpenAPI Generator makes of the description works. It needs Java to be made."""

import asyncio
import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ilios.edge.app import DECLARED as OPERATIONS
from ilios.edge.openapi import describe
from tests import documents
from tests.journeys.running import running_service
from tests.waiting import wait_until

KEY = "key-of-a-generated-client"
AS_FORM = {"_content_type": "multipart/form-data"}
"""The generated clients prefer JSON where an operation takes both."""
PACKAGE = "ilios_by_openapi_generator"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("java") is None, reason="no java on PATH"),
]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Generate the client and import it."""
    place = tmp_path_factory.mktemp("generated")
    (place / "openapi.json").write_bytes(msgspec.json.encode(describe(OPERATIONS)))
    jar = importlib.resources.files("openapi_generator_cli") / "openapi-generator.jar"
    subprocess.run(
        [
            *("java", "-jar", str(jar), "generate", "-g", "python", "-i", "openapi.json"),
            *("-o", ".", "--package-name", PACKAGE),
        ],
        cwd=place,
        capture_output=True,
        check=True,
    )
    sys.path.insert(0, str(place))
    yield importlib.import_module(PACKAGE)
    sys.path.remove(str(place))
    for module in [name for name in sys.modules if name.startswith(PACKAGE)]:
        del sys.modules[module]


class Client:
    """The generated classes by tag, on one connection; calls run in a thread."""

    def __init__(self, package: Any, connection: Any) -> None:
        self.package = package
        self._apis = {"documents": package.DocumentsApi(connection)}
        self._apis["batches"] = package.BatchesApi(connection)

    async def call(self, operation: str, *args: Any, **words: Any) -> Any:
        tag, _, name = operation.partition(".")
        return await asyncio.to_thread(getattr(self._apis[tag], name), *args, **words)


@pytest.fixture
async def client(package: Any, tmp_path: Path) -> AsyncIterator[Client]:
    async with running_service(tmp_path, API_KEY=KEY) as service:
        settings = package.Configuration(host=service.url, access_token=KEY)
        with package.ApiClient(settings) as connection:
            yield Client(package, connection)
            connection.rest_client.pool_manager.clear()


async def test_a_generated_client_submits_polls_and_reads(client: Client) -> None:
    content = documents.pdf("Made by a machine")
    submitted = await client.call(
        "documents.submit_document", file=("a.pdf", content), retention_days=7, **AS_FORM
    )
    assert (submitted.status, submitted.retention_days) == ("pending", 7)

    async def completed() -> bool:
        found = await client.call("documents.document_status", submitted.id)
        assert found.created_at == submitted.created_at
        assert found.created_at.tzinfo is not None
        return bool(found.status == "completed")

    await wait_until(completed, within=60)
    markdown = await client.call("documents.read_document", submitted.id)
    assert markdown.strip() == "Made by a machine"
    answer = await client.call(
        "documents.read_document_with_http_info", submitted.id, format="json"
    )
    found = client.package.DocumentContent.from_dict(json.loads(answer.raw_data))
    assert found.content == markdown
    converted = await client.call(
        "documents.convert", file=("a.pdf", content), format="markdown", **AS_FORM
    )
    assert converted == markdown


async def test_a_generated_client_reads_the_status_of_a_batch(client: Client) -> None:
    files = [(f"{number}.pdf", documents.pdf("Page")) for number in range(2)]
    batch = await client.call("batches.submit_batch", files=files, **AS_FORM)
    found = await client.call("batches.batch_status", batch.batch_id)
    assert found.progress.total == 2


async def test_errors_reach_a_generated_client_as_problems(client: Client) -> None:
    for operation, words, status, code in (
        ("documents.read_document", {"id": "0" * 24}, 404, "document_not_found"),
        ("batches.batch_status", {"id": "0" * 24}, 404, "batch_not_found"),
        ("documents.convert", {"file": ("a.pdf", b"%PDF-1.7 no more"), **AS_FORM}, 422, "corrupt"),
    ):
        with pytest.raises(client.package.ApiException) as caught:
            await client.call(operation, **words)
        assert caught.value.status == status
        assert isinstance(caught.value.data, client.package.Problem)
        assert caught.value.data.code == code
