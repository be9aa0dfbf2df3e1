"""The client and its commands beside a real service."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from ilios.client import Client, DocumentFilter, Outcome, ServiceProblem, Upload
from schemas.event_replies import DocumentEventData
from schemas.replies import Submitted
from schemas.requests import SubmitFields
from tests import documents
from tests.journeys.commands import CommandResult, run_here
from tests.journeys.running import ROOT, running_service

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("edge_in_core")]

KEY = "key-of-a-client"


async def test_the_synchronous_client_follows_a_document_from_upload_to_deletion(
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path, API_KEY=KEY) as service:
        await asyncio.to_thread(_follow, service.url, tmp_path)


def _follow(url: str, tmp_path: Path) -> None:
    with Client(url, KEY) as client:
        pdf = Upload(content=documents.pdf("Ferry", "Harbour"), file_name="a.pdf")
        fields = SubmitFields(reference="r-1", pages="2", metadata={"case": 1})
        accepted = client.submit(pdf, fields, idempotency_key="once")
        assert client.submit(pdf, fields, idempotency_key="once").id == accepted.id
        status = client.wait(accepted.id)
        assert (status.status, status.client_metadata) == ("completed", {"case": 1})
        assert client.text(accepted.id).strip() == "Harbour"
        with client.content(accepted.id, output_format="json") as pieces:
            assert json.loads(b"".join(pieces))["content"].strip() == "Harbour"
        client.download(accepted.id, tmp_path / "a.pdf", original=True)
        assert (tmp_path / "a.pdf").read_bytes() == pdf.content
        events = list(client.events(accepted.id))
        assert [one.name for one in events] == ["document.submitted", "document.completed"]
        assert isinstance(events[-1].data, DocumentEventData)
        after = client.events(accepted.id, last_event_id=events[0].id)
        assert [one.name for one in after] == ["document.completed"]
        several: list[Outcome[Upload | Path, Submitted]] = list(
            client.submit_all([Upload(content=b"Words %d" % number) for number in range(5)])
        )
        names = {one.result.id for one in several if one.result}
        for name in names:
            client.wait(name)
        assert {one.id for one in client.documents()} == {*names, accepted.id}
        listed = client.documents(DocumentFilter(reference="r-1"), limit=1)
        assert [one.id for one in listed] == [accepted.id]
        assert client.cancel(accepted.id).status == "deleted"
        with pytest.raises(ServiceProblem) as caught:
            client.text(accepted.id)
        assert caught.value.code == "document_deleted"


async def test_the_commands_do_what_the_client_does(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(documents.pdf("Ferry"))
    async with running_service(tmp_path / "data", API_KEY=KEY) as service:

        async def ilios(*arguments: str, key: str = KEY) -> CommandResult:
            environ = {"ILIOS_SERVER": service.url, "ILIOS_KEY": key, "HOME": str(tmp_path)}
            return await asyncio.to_thread(lambda: run_here(*arguments, stdin=b"", **environ))

        submitted = await ilios("submit", "--json", "--wait", str(tmp_path / "a.pdf"))
        assert submitted.code == 0, submitted.errors
        name = json.loads(submitted.out)["id"]
        assert (await ilios("get", name)).out.strip() == "Ferry"
        assert name in (await ilios("show", name)).out
        assert name in (await ilios("list", "--name", "a.PDF")).out
        watched = await ilios("watch", "--json", name)
        last = json.loads(watched.out.splitlines()[-1])
        assert (watched.code, last["event"]) == (0, "document.completed")
        assert (await ilios("cancel", name)).code == 1, "it has ended"
        assert (await ilios("cancel", "--delete", name)).out.split()[:2] == [name, "deleted"]
        gone = await ilios("get", name)
        assert (gone.code, "document_deleted" in gone.errors) == (1, True)
        missing = await ilios("submit", str(tmp_path / "b.pdf"))
        assert (missing.code, "b.pdf" in missing.errors) == (1, True)
        wrong = await ilios("submit", "--priority", "11", str(tmp_path / "a.pdf"))
        assert (wrong.code, "priority" in wrong.errors) == (2, True)
        assert (await ilios("list", key="another-key")).code == 4


async def test_an_installation_without_extras_lists_the_documents_of_a_service(
    tmp_path: Path,
) -> None:
    python = await asyncio.to_thread(_install_without_extras, tmp_path)
    async with running_service(tmp_path / "data") as service:
        environ = {"PATH": os.environ["PATH"], "ILIOS_SERVER": service.url, "HOME": str(tmp_path)}
        (tmp_path / "a.txt").write_text("words")
        for arguments in (("submit", "--wait", "a.txt"), ("list",)):
            listed = await _run(python, tmp_path, environ, *arguments)
            assert listed.returncode == 0, listed.stderr
            assert "completed" in listed.stdout
        served = await _run(python, tmp_path, environ, "serve")
        assert (served.returncode, "ilios[serve]" in served.stderr) == (2, True)


async def _run(
    python: Path, directory: Path, environ: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-I", "-m", "ilios", *arguments]
    return await asyncio.to_thread(
        subprocess.run, command, cwd=directory, env=environ, capture_output=True, text=True
    )


def _install_without_extras(tmp_path: Path) -> Path:
    """Install the wheel and what it requires into an environment of its own, without an index.

    What it requires is copied from the environment of the tests.
    """
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    place = tmp_path / "environment"
    command = [sys.executable, "-m", "venv", "--without-pip", str(place)]
    subprocess.run(command, check=True)
    (packages,) = place.glob("lib/python3*/site-packages")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(packages)
    (metadata,) = packages.glob("ilios-*.dist-info")
    copied = {"ilios"}
    _copy_requirements(PathDistribution(metadata), packages, copied)
    assert {"aiohttp", "msgspec"} < copied
    assert len(copied) < 15, copied
    return place / "bin" / "python"


def _copy_requirements(of: Distribution, packages: Path, copied: set[str]) -> None:
    for line in of.requires or ():
        need = Requirement(line)
        wanted = need.marker is None or need.marker.evaluate({"extra": ""})
        if not wanted or need.name in copied:
            continue
        copied.add(need.name)
        found = distribution(need.name)
        for file in found.files or ():
            if ".." not in file.parts and not file.name.endswith(".pyc"):
                target = packages / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), target)
        _copy_requirements(found, packages, copied)
