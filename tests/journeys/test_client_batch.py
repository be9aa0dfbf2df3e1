"""``ilios batch`` while it and the service are killed: each file once, none lost."""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from ilios.chaos.processes import NoSuchProcess
from tests import documents
from tests.free_ports import free_port
from tests.journeys.commands import CommandResult, run_here, run_ilios
from tests.journeys.running import PYTHON_PATH, RunningService, Target, running_service
from tests.journeys.service_client import billed_documents, document_states
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")

JOURNAL = ".ilios-batch.jsonl"


class Batch:
    """A directory of documents, and the command that converts it."""

    def __init__(self, tmp_path: Path, count: int, url: str) -> None:
        self.data = tmp_path / "data"
        self.results = tmp_path / "in-converted"
        self.database = self.data / "ilios.db"
        self._directory = tmp_path / "in"
        self._url = url
        for number in range(count):
            file = self._directory / f"{number % 7}" / f"{number}.pdf"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(documents.pdf(self.words(number)))
        self.count = count

    @staticmethod
    def words(number: int) -> str:
        return f"Token{number:05d} belongs to file {number}"

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("batch", str(self._directory), "--concurrency", "8", "--patience", "60")

    @property
    def environ(self) -> dict[str, str]:
        return {"ILIOS_SERVER": self._url, "HOME": str(self.data)}

    def done(self) -> int:
        """Return how many files have come to an end."""
        journal = self.results / JOURNAL
        return len(journal.read_bytes().splitlines()) - 1 if journal.exists() else 0

    def submitted(self) -> int:
        """Return how many documents the service has stored."""
        return len(document_states(self.database)) if self.database.exists() else 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run the command until the context ends, which kills it."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ilios", *self.arguments),
            cwd="/",
            env={"PATH": os.environ["PATH"], "PYTHONPATH": PYTHON_PATH, **self.environ},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.wait()

    async def finish(self) -> None:
        """Run the command to its end and check that each file was converted and billed once."""
        ended = await run_ilios(self.data, *self.arguments, armed=None, **self.environ)
        assert ended.code == 0, ended.errors
        for number in range(self.count):
            result = self.results / f"{number % 7}" / f"{number}.pdf.md"
            assert result.read_text().strip() == self.words(number)
        left = {one.name for one in self.results.rglob("*") if one.is_file()}
        assert left == {f"{number}.pdf.md" for number in range(self.count)} | {JOURNAL}
        states = document_states(self.database)
        assert sorted(states.values()) == ["completed"] * self.count
        assert billed_documents(self.database) == sorted(states)
        again = await run_ilios(self.data, *self.arguments, armed=None, **self.environ)
        assert (again.code, self.submitted()) == (0, self.count), "nothing is left to do"


@pytest.mark.slow
async def test_a_batch_goes_on_after_it_and_the_service_were_killed(tmp_path: Path) -> None:
    port = str(free_port())
    batch = Batch(tmp_path, 16, f"http://127.0.0.1:{port}")
    async with running_service(batch.data, PORT=port) as service:
        async with batch.running():
            await wait_until(lambda: batch.done() >= 2)
        assert batch.done() < batch.count, "it was killed in the middle"
        async with batch.running() as process:
            await wait_until(lambda: batch.done() >= 5)
            await service.kill("all")
            await service.start()
            await wait_until(lambda: process.returncode is not None or batch.done() >= 9)
        await batch.finish()


@pytest.mark.slow
async def test_a_file_that_failed_is_submitted_again_only_when_that_is_wanted(
    tmp_path: Path,
) -> None:
    files, journal = tmp_path / "in", tmp_path / "in-converted" / JOURNAL
    files.mkdir()
    (files / "a.bin").write_bytes(b"\x01\x02\x03")
    (files / "b.txt").write_text("words")
    (files / ".hidden").write_text("words")
    async with running_service(tmp_path / "data") as service:

        async def batch(*arguments: str) -> CommandResult:
            environ = {"ILIOS_SERVER": service.url, "HOME": str(tmp_path)}
            given = ("batch", str(files), "--json", *arguments)
            return await asyncio.to_thread(lambda: run_here(*given, stdin=b"", **environ))

        ids = []
        for arguments in ((), (), ("--retry-failed",)):
            ran = await batch(*arguments)
            assert ran.code == 1, ran.errors
            *lines, counts = (json.loads(line) for line in ran.out.splitlines())
            assert counts == {"total": 2, "completed": 1, "failed": 1}
            by_path = {line["path"]: line for line in lines}
            assert by_path["a.bin"]["code"] == "unsupported_type"
            assert Path(by_path["b.txt"]["output"]).read_text().strip() == "words"
            ids.append((by_path["a.bin"]["id"], by_path["b.txt"]["id"]))
        assert ids[0] == ids[1]
        assert ids[2][0] != ids[0][0]
        assert ids[2][1] == ids[0][1]
        html = await batch("--format", "html")
        assert "b.txt.html" in html.out
        assert ids[0][1] in html.out, "it is the same document"
        journal.write_text("nothing of ours\n")
        assert (await batch()).code == 2


@pytest.mark.long
@pytest.mark.timeout(1500)
async def test_a_batch_of_500_files_survives_random_kills(tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    print("seed", seed)
    chance = random.Random(seed)
    port = str(free_port())
    batch = Batch(tmp_path, 500, f"http://127.0.0.1:{port}")
    async with running_service(batch.data, PORT=port) as service:
        kills = {"client": 0, "service": 0}
        while batch.done() < batch.count - 20:
            async with batch.running() as process:
                await _kill_at_random(batch, service, process, chance, kills)
            kills["client"] += 1
        print("killed", kills)
        assert min(kills.values()) >= 3
        await batch.finish()


async def _kill_at_random(
    batch: Batch,
    service: RunningService,
    process: asyncio.subprocess.Process,
    chance: random.Random,
    kills: dict[str, int],
) -> None:
    """Return when the client is to be killed; the service is killed meanwhile, or not."""
    target = batch.done() + chance.randrange(10, 60)
    if chance.random() < 0.6:
        wanted = batch.submitted() + chance.randrange(1, 30)
        await wait_until(
            lambda: process.returncode is not None or batch.submitted() >= wanted, within=120
        )
        targets: list[Target] = ["service", "all", "nats-server", "engine"]
        with suppress(NoSuchProcess):  # an engine process may have nothing to do
            await service.kill(chance.choice(targets))
            kills["service"] += 1
        if service.has_ended:
            await service.start()
    await wait_until(lambda: process.returncode is not None or batch.done() >= target, within=120)
