"""Blobs of a directory move to S3, whenever the move is killed, and all documents are there."""

import signal
from pathlib import Path

import pytest

from bus.failpoints import Failpoint
from ilios.blobs.move_record import RECORD_FILE
from ilios.cli import ExitCode
from tests import documents
from tests.journeys.commands import CommandResult, run_ilios
from tests.journeys.running import RunningService, running_service
from tests.journeys.service_client import Client, ServiceClient
from tests.s3.servers import S3Server
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")

MOVE = ("blobs", "move", "--to", "s3")


@pytest.fixture(
    params=[
        pytest.param("rclone", marks=pytest.mark.slow),
        pytest.param("swift", marks=pytest.mark.long),
    ]
)
def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue(request.param)
    return found


async def check_served(service: RunningService, texts: dict[str, str]) -> None:
    """Check that each document is there, with its own original and text."""
    client = Client(service)
    for name, text in texts.items():
        original = await client.get(f"/api/documents/{name}/original")
        assert original == (200, documents.pdf(text))
        status, result = await client.get(f"/api/documents/{name}")
        assert (status, result.decode().strip()) == (200, text)


async def test_a_move_that_is_killed_at_each_step_ends_with_every_document_in_the_bucket(
    six_completed: list[str], tmp_path: Path, server: S3Server
) -> None:
    bucket = server.environ(server.config())
    texts = {name: f"page {number}" for number, name in enumerate(six_completed)}
    deleted = six_completed[0]

    def stored() -> list[str]:
        return [key for key in server.objects(bucket["ILIOS_S3_PREFIX"]) if "/.ilios" not in key]

    async def run(*command: str, armed: Failpoint | None = None, **environ: str) -> CommandResult:
        return await run_ilios(tmp_path, *command, armed=armed, **environ)

    assert (await run(*MOVE, armed="moving.copied", **bucket)).code == -signal.SIGKILL
    too_early = await run("serve", armed=None, **bucket)
    assert too_early.code == ExitCode.USAGE
    assert "not all are there yet: run `ilios blobs move` again" in too_early.errors
    assert (await run(*MOVE, armed="moving.proven", **bucket)).code == -signal.SIGKILL
    assert len(stored()) == len(list((tmp_path / "blobs").glob("??/*"))) > len(texts)

    async with running_service(tmp_path, **bucket) as service:
        await check_served(service, texts)
        async with ServiceClient(service) as client:
            assert (await client.send("DELETE", f"/api/documents/{deleted}")).status == 200
        await wait_until(lambda: not any(deleted in key for key in stored()))
        del texts[deleted]

    removal = (*MOVE, "--remove-source")
    unreachable = bucket | {"AWS_ACCESS_KEY_ID": "of-nobody"}
    assert (await run(*removal, armed=None, **unreachable)).code != ExitCode.OK
    assert any((tmp_path / "blobs").glob("??/*"))
    assert (await run(*removal, armed="moving.removed", **bucket)).code == -signal.SIGKILL
    done = await run(*removal, armed=None, **bucket)
    assert (done.code, done.errors) == (ExitCode.OK, "")
    assert not (tmp_path / "blobs").exists()
    assert not (tmp_path / RECORD_FILE).exists()
    assert not any(deleted in key for key in stored()), "a deleted document was copied again"
    async with running_service(tmp_path, **bucket) as service:
        await check_served(service, texts)
