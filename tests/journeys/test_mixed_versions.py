"""Hosts of a former build and of this one work together, and are replaced one by one under load."""

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path

import aiohttp
import msgspec
import nats
import pytest

from bench.builds import build_of
from ilios.nats.server import NatsServer
from schemas.documents import DocumentSubmitted, Inline
from schemas.ids import new_id
from tests import documents
from tests.free_ports import free_port
from tests.journeys.commands import run_ilios
from tests.journeys.running import ROOT, RunningService
from tests.journeys.service_client import billed_documents, document_states
from tests.journeys.worker_hosts import WorkerHost, key_of
from tests.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

FORMER = os.environ.get("ILIOS_FORMER_BUILD", "a58d59c")
"""The commit of the last release with workers on other hosts, or a directory with its ``.venv``."""
CLIENTS = 3
BETWEEN = 15  # documents that each host converts between two replacements
LONGEST_GAP = 30.0  # seconds between two accepted documents while the only core is replaced
WITHIN = 120.0  # seconds; a machine under load is slow, not wrong


@pytest.fixture(scope="module")
def former() -> Iterator[Path]:
    """A checkout of the former build."""
    known = subprocess.run(
        ["git", "-C", str(ROOT), "cat-file", "-e", f"{FORMER}^{{commit}}"],
        capture_output=True,
        check=False,
    )
    if known.returncode and not Path(FORMER, ".venv").is_dir():
        pytest.skip(f"commit {FORMER} is not in the history of this checkout")
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            build = runner.run(stack.enter_async_context(build_of(FORMER)))
        except RuntimeError as error:
            pytest.skip(f"the former build cannot be installed: {error}")
        yield build
        runner.run(stack.aclose())


class BuiltCore(RunningService):
    """`ilios serve` of one of the builds."""

    def __init__(self, build: Path, data_dir: Path, **environ: str) -> None:
        super().__init__(data_dir, PYTHONPATH=str(build), ILIOS_LOG_LEVEL="debug", **environ)
        self._python = str(build / ".venv" / "bin" / "python")
        self.log = data_dir.parent / f"core-of-{build.name}.log"


class BuiltWorker(WorkerHost):
    """`ilios run` of one of the builds."""

    def __init__(self, build: Path, data_dir: Path, **environ: str) -> None:
        super().__init__(data_dir, PYTHONPATH=str(build), ILIOS_LOG_LEVEL="debug", **environ)
        self._python = str(build / ".venv" / "bin" / "python")
        self.log = data_dir.parent / f"{data_dir.name}-of-{build.name}.log"


class Hosts:
    """One core and two workers on one log, each of which may be of another build."""

    def __init__(self, root: Path, nats_url: str) -> None:
        self._shared = {"NATS_URL": nats_url, "ILIOS_SHARED_BLOBS": str(root / "blobs")}
        self._root = root
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.running: dict[str, RunningService] = {}

    @property
    def database(self) -> Path:
        return self._root / "core" / "ilios.db"

    async def start(self, name: str, build: Path) -> None:
        """Start the core or a worker of a build, after the former process of it has ended."""
        if name in self.running:
            await self.running[name].stop()
        environ = self._shared | {"WORKER_COUNT": "1"}
        host: RunningService
        if name == "core":
            core = environ | {"PORT": str(self._port)}
            host = BuiltCore(build, self._root / name, **core)
        else:
            host = BuiltWorker(build, self._root / name, **environ, **key_of(self._root / "core"))
        self.running[name] = host
        await host.start()

    async def stop(self) -> None:
        for host in self.running.values():
            await host.stop()

    def worker(self, name: str) -> WorkerHost:
        found = self.running[name]
        assert isinstance(found, WorkerHost)
        return found


class Load:
    """Clients that submit documents, each until it is accepted, and what they were answered."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/api/documents/submit"
        self.texts: dict[str, str] = {}
        self.accepted_at: list[float] = []
        self.refusals: list[tuple[int, str | None]] = []
        self.unreached = 0

    @property
    def longest_gap(self) -> float:
        return max(after - before for before, after in pairwise(self.accepted_at))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(self._client(session, number, stop))
            yield
            stop.set()

    async def _client(
        self, session: aiohttp.ClientSession, number: int, stop: asyncio.Event
    ) -> None:
        count = 0
        while not stop.is_set():
            if await self._submit(session, f"Document {count} of client {number}"):
                count += 1
            await asyncio.sleep(0.1)

    async def _submit(self, session: aiohttp.ClientSession, text: str) -> bool:
        form = aiohttp.FormData()
        form.add_field("file", documents.pdf(text), filename="report.pdf")
        try:
            async with session.post(
                self._url, data=form, headers={"Idempotency-Key": text}
            ) as answer:
                if answer.status == 202:
                    self.texts[(await answer.json())["id"]] = text
                    self.accepted_at.append(time.monotonic())
                    return True
                self.refusals.append((answer.status, answer.headers.get("Retry-After")))
        except aiohttp.ClientError:
            self.unreached += 1
        return False


async def check_completed(hosts: Hosts, texts: dict[str, str]) -> None:
    """Wait until all documents are completed, each with its own text, and billed once."""

    def are_completed() -> bool:
        states = document_states(hosts.database)
        return all(states.get(name) == "completed" for name in texts)

    await wait_until(are_completed, within=WITHIN)
    async with aiohttp.ClientSession() as session:
        for name, text in texts.items():
            async with session.get(f"{hosts.url}/api/documents/{name}") as answer:
                assert (answer.status, (await answer.text()).strip()) == (200, text)
    assert billed_documents(hosts.database) == sorted(document_states(hosts.database))


async def both_convert(hosts: Hosts) -> None:
    """Wait until each worker has converted some more documents."""
    for name in ("first", "second"):
        worker = hosts.worker(name)
        before = worker.converted
        await wait_until(
            lambda worker=worker, before=before: worker.converted >= before + BETWEEN,  # type: ignore[misc]
            within=WITHIN,
        )


Order = tuple[str, ...]


@pytest.mark.parametrize("order", [("core", "first", "second"), ("first", "second", "core")])
async def test_hosts_that_are_replaced_one_by_one_lose_and_refuse_nothing(
    order: Order, former: Path, nats_server: NatsServer, tmp_path: Path
) -> None:
    hosts, load = Hosts(tmp_path, nats_server.url("operator")), None
    try:
        for name in ("core", "first", "second"):
            await hosts.start(name, former)
        load = Load(hosts.url)
        async with load.running():
            await both_convert(hosts)
            for name in order:
                await hosts.start(name, ROOT)
                await both_convert(hosts)
        await check_completed(hosts, load.texts)
    finally:
        await hosts.stop()
    print(
        f"{len(load.texts)} accepted, longest gap {load.longest_gap:.1f} s, "
        f"{len(load.refusals)} refused, {load.unreached} not reached"
    )
    assert all(status == 503 and after for status, after in load.refusals), load.refusals
    assert load.longest_gap < LONGEST_GAP


@pytest.mark.parametrize("core_is_former", [True, False])
async def test_members_and_events_of_a_later_version_stop_neither_build(
    *, core_is_former: bool, former: Path, nats_server: NatsServer, tmp_path: Path
) -> None:
    core, worker = (former, ROOT) if core_is_former else (ROOT, former)
    url = nats_server.url("operator")
    hosts = Hosts(tmp_path, url)
    client = await nats.connect(url)
    texts: dict[str, str] = {}

    async def publish(kind: str, text: str, change: Callable[[dict[str, object]], None]) -> str:
        event = DocumentSubmitted(document_id=new_id(), source=Inline(documents.pdf(text)))
        body: dict[str, object] = msgspec.json.decode(msgspec.json.encode(event))
        change(body)
        subject = f"ilios.document.{kind}.p05.default.{event.document_id}"
        await client.jetstream().publish(subject, msgspec.json.encode(body))
        return event.document_id

    try:
        await hosts.start("core", core)
        await hosts.start("first", worker)
        environ = {"NATS_URL": url}
        for number in range(30):
            if number == 10:  # which the former build does not know
                assert (await run_ilios(tmp_path, "pause", "ocr", armed=None, **environ)).code == 0
            if number == 20:
                assert (await run_ilios(tmp_path, "resume", "ocr", armed=None, **environ)).code == 0
            await publish("weighed", "of a later version", lambda one: one.update(type="weighed/1"))
            text = f"Member {number}"
            added = {"weight": {"grams": number}, "seen_by": ["a", "b"]}
            name = await publish("submitted", text, lambda one, added=added: one.update(added))  # type: ignore[misc]
            texts[name] = text
        await check_completed(hosts, texts)
        assert hosts.worker("first").converted > 0
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{hosts.url}/health") as answer,
        ):
            assert answer.status == 200, await answer.text()
    finally:
        await client.close()
        await hosts.stop()
