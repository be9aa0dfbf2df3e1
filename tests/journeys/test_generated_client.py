"""A client that a generator makes of the description works: types, errors and all."""

import asyncio
import importlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from ilios.edge.app import DECLARED as OPERATIONS
from ilios.edge.openapi import describe
from tests import documents
from tests.journeys.running import RunningService, running_service
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")

KEY = "key-of-a-generated-client"
CONFIGURATION = "post_hooks: []\n"  # the code is to run, not to please a formatter


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Generate the client; yield its name and what the generator complained of."""
    place = tmp_path_factory.mktemp("generated")
    (place / "configuration.yaml").write_text(CONFIGURATION)
    (place / "openapi.json").write_bytes(msgspec.json.encode(describe(OPERATIONS)))
    made = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "openapi-python-client"), "generate"),
            *("--path", "openapi.json", "--config", "configuration.yaml"),
            *("--meta", "none", "--output-path", "client_of_ilios"),
        ],
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
    )
    sys.path.insert(0, str(place))
    yield "client_of_ilios", made.stdout + made.stderr
    sys.path.remove(str(place))
    for module in [name for name in sys.modules if name.startswith("client_of_ilios")]:
        del sys.modules[module]


class GeneratedClient:
    """The generated functions by tag and operation, called with the client they want."""

    def __init__(self, package: str, service: RunningService) -> None:
        self._package = package
        client = self.load("client").AuthenticatedClient
        self.connected = client(base_url=service.url, token=KEY, raise_on_unexpected_status=True)
        self.models: Any = self.load("models")
        self.file: Any = self.load("types").File

    def load(self, module: str) -> Any:
        return importlib.import_module(f"{self._package}.{module}")

    async def call(self, operation: str, *args: Any, **words: Any) -> Any:
        """Return the status and what the client made of the answer."""
        # Not its asyncio functions: they cannot send a body that is not a form.
        function = self.load(f"api.{operation}").sync_detailed
        answer = await asyncio.to_thread(function, *args, client=self.connected, **words)
        return SimpleNamespace(status=answer.status_code, parsed=answer.parsed)

    def document(self, content: bytes, name: str = "a.pdf") -> Any:
        return self.file(payload=BytesIO(content), file_name=name, mime_type=documents.PDF)


@pytest.fixture
async def client(generated: tuple[str, str], tmp_path: Path) -> AsyncIterator[GeneratedClient]:
    async with running_service(tmp_path, API_KEY=KEY) as service:
        made = GeneratedClient(generated[0], service)
        with made.connected:
            yield made


def test_the_generator_understands_every_operation_and_every_answer(
    generated: tuple[str, str],
) -> None:
    package, complaints = generated
    assert "WARNING" not in complaints
    assert "omitted" not in complaints
    models = importlib.import_module(f"{package}.models")
    assert len(OPERATIONS) > 15
    for operation in OPERATIONS:
        module = importlib.import_module(
            f"{package}.api.{operation.tag.lower()}.{_snake(operation.name)}"
        )
        returned = module._parse_response.__annotations__["return"]
        assert not operation.problems or models.Problem in returned.__args__, operation.name


@pytest.mark.slow
async def test_a_generated_client_submits_polls_and_reads(client: GeneratedClient) -> None:
    models = client.models
    form = models.SubmitDocumentFilesBody(file=client.document(documents.pdf("Made by a machine")))
    before = datetime.now(UTC)

    submitted = await client.call("documents.submit_document", body=form, retention_days=7)

    assert submitted.status == 202
    assert submitted.parsed.retention_days == 7
    assert submitted.parsed.status == models.SubmittedStatus.PENDING
    assert abs((submitted.parsed.created_at - before).total_seconds()) < 60
    document = submitted.parsed.id

    async def completed() -> bool:
        found = (await client.call("documents.document_status", document)).parsed
        assert found.status != models.DocumentStatusStatus.FAILED
        return bool(found.status == models.DocumentStatusStatus.COMPLETED)

    await wait_until(completed, within=60)
    markdown = await client.call("documents.read_document", document)
    assert markdown.parsed.strip() == "Made by a machine"
    as_json = await client.call(
        "documents.read_document", document, format_=models.ReadDocumentFormat.JSON
    )
    content = models.DocumentContent.from_dict(json.loads(as_json.parsed))
    assert content.content == markdown.parsed
    assert content.created_at == submitted.parsed.created_at
    original = await client.call("documents.read_original", document)
    assert original.parsed.payload.read() == documents.pdf("Made by a machine")
    receipt = await client.call("documents.delete_document", document)
    assert receipt.parsed.status == models.DeletionReceiptStatus.DELETED


@pytest.mark.slow
async def test_a_generated_client_uses_the_resource_of_a_document(client: GeneratedClient) -> None:
    models = client.models
    form = models.CreateDocumentFilesBody(file=client.document(documents.pdf("Of a resource")))
    document = (await client.call("documents.create_document", body=form)).parsed.id

    state = await client.call("documents.get_document", document, wait=60)

    assert state.parsed.status == models.DocumentStatusStatus.COMPLETED
    markdown = await client.call("documents.get_document_content", document)
    assert markdown.parsed.strip() == "Of a resource"
    as_json = await client.call(
        "documents.get_document_content", document, accept="application/json"
    )
    assert models.DocumentContent.from_dict(json.loads(as_json.parsed)).id == document
    none = await client.call("documents.get_document_content", document, accept="image/png")
    assert (none.status, none.parsed.code) == (406, "not_acceptable")
    broken = models.CreateDocumentFilesBody(file=client.document(b"%PDF-1.7 but not really"))
    ended = await client.call("documents.create_document", body=broken, prefer="wait=60")
    assert (ended.status, ended.parsed.status) == (201, models.DocumentStatusStatus.FAILED)
    failed = await client.call("documents.get_document_content", ended.parsed.id)
    assert isinstance(failed.parsed, models.Problem)
    assert (failed.status, failed.parsed.code, failed.parsed.cause) == (
        *(409, "document_failed"),
        "corrupt",
    )
    receipt = await client.call("documents.remove_document", document)
    assert receipt.parsed.status == models.DeletionReceiptStatus.DELETED


@pytest.mark.slow
async def test_a_generated_client_converts_a_form_and_bare_bytes(client: GeneratedClient) -> None:
    models, content = client.models, documents.pdf("At once")
    form = models.ConvertFilesBody(file=client.document(content))
    markdown = await client.call("documents.convert", body=form)
    assert markdown.parsed.strip() == "At once"

    as_json = await client.call(
        "documents.convert",
        body=client.document(content),
        file_name="bare.pdf",
        format_=models.ConvertFormat.JSON,
    )
    found = models.DocumentContent.from_dict(json.loads(as_json.parsed))
    assert (found.file_name, found.content.strip()) == ("bare.pdf", "At once")


async def test_a_generated_client_reads_a_batch(client: GeneratedClient) -> None:
    models = client.models
    files = [client.document(documents.pdf(f"Page {n}"), f"{n}.pdf") for n in range(3)]
    batch = await client.call("batches.submit_batch", body=models.SubmitBatchBody(files=files))
    assert batch.status == 202

    async def ended() -> bool:
        found = (await client.call("batches.batch_status", batch.parsed.batch_id)).parsed
        return bool(found.status == models.BatchStatusStatus.COMPLETED)

    await wait_until(ended, within=60)
    lines = await client.call("batches.download_batch", batch.parsed.batch_id)
    found = [models.BatchLine.from_dict(json.loads(line)) for line in lines.parsed.payload]
    assert [line.content.strip() for line in found] == ["Page 0", "Page 1", "Page 2"]


@pytest.mark.slow
async def test_every_error_reaches_a_generated_client_as_a_problem(client: GeneratedClient) -> None:
    models = client.models
    unknown = "0" * 24
    form = models.ConvertFilesBody(file=client.document(b"%PDF-1.7 but not really"))
    calls = {
        (404, "document_not_found"): client.call("documents.read_document", unknown),
        (400, "invalid_id"): client.call("documents.document_status", "no-id"),
        (404, "batch_not_found"): client.call("batches.batch_status", unknown),
        (422, "corrupt"): client.call("documents.convert", body=form),
        (400, "invalid_file_size"): client.call(
            "uploads.ask_for_upload", body=models.UploadWanted(file_name="a.pdf", file_size=0)
        ),
    }
    for (status, code), answer in zip(calls, await asyncio.gather(*calls.values()), strict=True):
        assert isinstance(answer.parsed, models.Problem)
        assert (answer.status, answer.parsed.status, answer.parsed.code) == (status, status, code)
        assert answer.parsed.error


@pytest.mark.slow
async def test_a_failed_document_reaches_a_generated_client_as_one(client: GeneratedClient) -> None:
    models = client.models
    form = models.SubmitDocumentFilesBody(file=client.document(b"%PDF-1.7 but not really"))
    document = (await client.call("documents.submit_document", body=form)).parsed.id

    async def failed() -> bool:
        return bool((await client.call("documents.read_document", document)).status == 500)

    await wait_until(failed, within=60)
    found = await client.call("documents.read_document", document)
    assert isinstance(found.parsed, models.FailedDocument)
    assert found.parsed.code == "corrupt"


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
