"""The current service starts on the data directory of an older release with unfinished work.

The names on the wire and on disk are all that the two have in common: a renamed durable, subject,
tag or key shows here as work that is lost, or done and paid for twice.
"""

import json
import re
import sqlite3
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import aiohttp
import nats
import pytest

from ilios import __version__
from ilios.database import migrations
from tests.journeys.commands import run_ilios
from tests.journeys.running import RunningService, running_service
from tests.mistral.fake import FakeMistral
from tests.mistral.server import fake_mistral
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")

OLDEST, *LATER = sorted((Path(__file__).parents[1] / "upgrades").glob("*.tar.xz"))
STREAMS = ("ILIOS_EVENTS", "ILIOS_DEAD_LETTERS")
UPLOADS = "OBJ_ilios-uploads-default"
ENDED_WITHIN = 60.0  # seconds; a machine under load is slow, not wrong
YEAR = 365 * 24 * 3600
RANGE = 50  # pages of one call
MORE = 4  # deliveries at most that nobody needs: of the moment of the kill, or late under load
ADDED = {f"ocr-stored-{lane}" for lane in ("high", "normal", "low")}  # since these releases
SUBMIT, SUBMIT_BATCH = "/api/documents/submit", "/v1/batch/submit"


class Left:
    """The unpacked archive of an older service: its data directory and the expected results."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "data"
        self.contents: dict[str, Any] = json.loads((root / "contents.json").read_text())

    def result(self, name: str) -> bytes:
        return (self.root / "results" / name).read_bytes()

    def stored(self, stream: str) -> bytes:
        """Return the messages of a stream, as its files have them."""
        return b"".join(path.read_bytes() for path in self.data.rglob(f"{stream}/msgs/*.blk"))

    def form(self, part: str, *names: str, **fields: str) -> aiohttp.FormData:
        form = aiohttp.FormData({"retentionDays": "3650", **fields})
        for name in names:
            content = (self.root / "files" / name).read_bytes()
            form.add_field(part, content, filename=name, content_type="application/pdf")
        return form

    def bills(self) -> dict[str, int]:
        """Return the pages that were billed, by document."""
        with closing(sqlite3.connect(f"file:{self.data}/ilios.db?mode=ro", uri=True)) as database:
            found = database.execute("SELECT document_id, pages FROM usage").fetchall()
        assert len(dict(found)) == len(found), "no document is billed twice"
        return dict(found)


@pytest.fixture(
    params=[OLDEST, *(pytest.param(path, marks=pytest.mark.slow) for path in LATER)],
    ids=lambda path: path.name.partition(".")[0],
)
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Left:
    # Without the times in it, as if the upgrade followed at once, however old the archive is. The
    # filters of tarfile came with Python 3.11.4.
    with tarfile.open(request.param) as packed:
        for entry in packed:
            target = tmp_path / entry.name
            if (content := packed.extractfile(entry)) is None:
                target.mkdir()
            else:
                target.write_bytes(content.read())
            target.chmod(entry.mode & 0o777)
    return Left(tmp_path)


class Upgraded:
    """The current service on that data, with a fake Mistral that has not been called before."""

    def __init__(
        self, service: RunningService, fake: FakeMistral, session: aiohttp.ClientSession
    ) -> None:
        self.url = service.url
        self.fake = fake
        self._session = session

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, bytes]:
        async with self._session.request(method, self.url + path, **more) as answer:
            return answer.status, await answer.read()

    async def get(self, path: str) -> bytes:
        status, body = await self.ask("GET", path)
        assert status == 200, body
        return body

    async def status(self, document: str) -> dict[str, Any]:
        return dict(json.loads(await self.get(f"/api/documents/status/{document}")))

    async def complete(self, *names: str) -> None:
        """Wait until all of them are completed."""

        async def have_ended() -> bool:
            states = [(await self.status(name))["status"] for name in names]
            assert "failed" not in states
            return set(states) == {"completed"}

        await wait_until(have_ended, within=ENDED_WITHIN)

    async def submit_again(self, path: str, form: aiohttp.FormData, first: str) -> Any:
        """Repeat the request that began with this file; return the answer."""
        headers = {"Idempotency-Key": f"upgrade {first}"}
        async with self._session.post(self.url + path, data=form, headers=headers) as answer:
            assert answer.status == 202, await answer.text()
            assert answer.headers["Idempotent-Replayed"] == "true"
            return await answer.json()


@asynccontextmanager
async def upgraded(left: Left) -> AsyncIterator[Upgraded]:
    async with fake_mistral() as fake:
        settings = {"MISTRAL_API_KEY": fake.key, "MISTRAL_SERVER_URL": fake.url}
        async with (
            running_service(left.data, **settings) as service,
            aiohttp.ClientSession() as session,
        ):
            yield Upgraded(service, fake, session)


def unfinished(contents: dict[str, Any]) -> list[str]:
    return [
        contents["accepted"],
        contents["inline"],
        contents["paper"]["id"],
        *contents["batch"]["documents"],
    ]


def pages_left(part: dict[str, Any]) -> int:
    """Return how many pages were not paid for."""
    return int(part["pages"]) - RANGE * len(part["kept"])


def test_the_archive_holds_unfinished_work_that_never_expires(left: Left) -> None:
    contents, log = left.contents, left.stored("ILIOS_EVENTS")
    published = set(re.findall(rb"ilios\.document\.([a-z]+)\.p05\.default\.([a-z0-9]+)", log))
    accepted = contents["accepted"].encode()
    assert {event for event, document in published if document == accepted} == {b"submitted"}
    for document in (contents["inline"], contents["paper"]["id"]):
        events = {event for event, one in published if one == document.encode()}
        assert events == {b"submitted", b"fetched"}
    assert 0 < len(contents["paper"]["kept"]) < 3
    assert 0 < len(contents["batch"]["done"]) < len(contents["batch"]["documents"])
    for stream in STREAMS:
        (meta,) = left.data.rglob(f"{stream}/meta.inf")
        assert json.loads(meta.read_text())["max_age"] == 0
    with closing(sqlite3.connect(left.data / "ilios.db")) as database:
        ((days,),) = database.execute("SELECT min(retention_days) FROM documents")
    assert days * 24 * 3600 > 9 * YEAR
    expires = re.search("expires=([0-9]+)", contents["reservation"]["put"])
    assert expires is not None
    assert int(expires[1]) > contents["made_at"] + 9 * YEAR


def test_each_released_version_has_an_archive() -> None:
    changes = (Path(__file__).parents[2] / "CHANGELOG.md").read_text()
    released = set(re.findall(r"^## \[([0-9.]+)\] - ", changes, re.MULTILINE)) - {__version__}
    versions = set()
    for path in (OLDEST, *LATER):
        with tarfile.open(path) as packed, suppress(KeyError):  # 0.1.0 notes none
            noted = packed.extractfile("data/version")
            versions.add(noted.read().decode().strip() if noted else None)
    assert released <= versions
    assert len((OLDEST, *LATER)) > len(versions), "of 0.1.0"


def snapshot_versions(data: Path) -> list[int]:
    """Return the versions of the schema that the snapshots have."""
    versions = []
    for path in (data / "snapshots").glob("*.db"):
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as snapshot:
            versions.append(snapshot.execute("PRAGMA user_version").fetchone()[0])
    return versions


async def test_unfinished_work_is_finished_once_and_streams_keep_their_positions(
    left: Left,
) -> None:
    contents = left.contents
    paper, batch = contents["paper"], contents["batch"]
    billed_before = left.bills()
    async with upgraded(left) as service:
        await service.complete(*unfinished(contents))
        done = contents["completed"]
        assert await service.get(f"/api/documents/{done}") == left.result("done.md")
        as_json = await service.get(f"/api/documents/{done}?format=json")
        assert as_json == left.result("done.json")
        first = await service.get(f"/api/documents/{batch['done'][0]}")
        assert first == left.result("first.md")

        failed = contents["failed"]
        assert (await service.status(failed["id"])).items() >= failed["status"].items()

        async def batch_has_ended() -> bool:
            batch_status = json.loads(await service.get(f"/v1/batch/status/{batch['id']}"))
            return bool(batch_status["status"] == "completed")

        await wait_until(batch_has_ended, within=ENDED_WITHIN)
        text = (await service.get(f"/api/documents/{paper['id']}")).decode()
        assert len(text.split("\n\n---\n\n")) == paper["pages"]
        # The page that came by the bus is the only other one Mistral had not been paid for.
        bought = pages_left(paper) + pages_left(batch) + 1
        assert service.fake.call_log.pages_paid == bought
        assert not service.fake.call_log.paid_twice()
        await check_streams(left)
    billed = left.bills()
    assert billed.items() >= billed_before.items()
    assert billed.keys() - billed_before.keys() == set(unfinished(contents)) - set(batch["done"])


async def check_streams(left: Left) -> None:
    """Check names and positions of streams and consumers, when all work is finished."""
    contents = left.contents
    listed = await run_ilios(left.data, "dead", "list", "--json")
    filed = {json.loads(line)["subject"].rpartition(".")[2] for line in listed.out.splitlines()}
    assert filed == {contents["dead_letter"], contents["failed"]["id"]}

    client = await nats.connect((left.data / "nats/operator.url").read_text().strip())
    try:
        bus = client.jetstream()
        streams = {str(one.config.name): one for one in await bus.streams_info()}
        durables = {str(one.name): one for one in await bus.consumers_info(STREAMS[0])}
        last = streams[STREAMS[0]].state.last_seq
        log = [await bus.get_msg(STREAMS[0], number) for number in range(1, last + 1)]
    finally:
        await client.close()
    assert streams.keys() == {*STREAMS, UPLOADS}
    # What an owner has set otherwise than it is made today stays as it is.
    assert [streams[name].config.max_age for name in STREAMS] == [0, 0]
    assert [streams[name].state.first_seq for name in STREAMS] == [1, 1]
    assert durables.keys() == contents["consumers"].keys() | ADDED
    for name, before in contents["consumers"].items():
        now = durables[name]
        assert str(now.created) == before["created"], f"{name} was made again"
        assert now.delivered is not None
        assert now.ack_floor is not None
        assert now.ack_floor.stream_seq >= before["acknowledged"]
        filters = tuple(one.removesuffix(">") for one in now.config.filter_subjects or ())
        new = sum(str(one.subject).startswith(filters) for one in log[before["delivered"] :])
        # Readers in order are set to where the database is at every start, and count from 0.
        counted = 0 if now.config.ack_policy == "all" else before["deliveries"]
        deliveries = now.delivered.consumer_seq - counted
        most = new + before["in_hand"] + MORE
        assert 0 <= deliveries <= most, f"{name} has begun again"


async def test_keys_and_upload_urls_of_clients_remain_valid(left: Left) -> None:
    contents = left.contents
    async with upgraded(left) as service:
        for name, document, engine in (
            ("done.pdf", contents["completed"], "local"),
            ("accepted.pdf", contents["accepted"], "local"),
            ("paper.pdf", contents["paper"]["id"], "mistral"),
        ):
            form = left.form("file", name, engine=engine)
            assert (await service.submit_again(SUBMIT, form, name))["id"] == document
        names = ("first.pdf", "second.pdf", "third.pdf")
        form = left.form("files", *names, engine="mistral")
        again = await service.submit_again(SUBMIT_BATCH, form, names[0])
        assert again["batchId"] == contents["batch"]["id"]
        assert [one["id"] for one in again["documents"]] == contents["batch"]["documents"]

        reserved = contents["reservation"]
        content = (left.root / "files" / "uploaded.pdf").read_bytes()
        assert (await service.ask("PUT", reserved["put"], data=content))[0] == 200
        path = f"/api/documents/upload-complete/{reserved['id']}"
        assert (await service.ask("POST", path))[0] == 200
        await service.complete(reserved["id"], contents["accepted"])
        text = await service.get(f"/api/documents/{reserved['id']}")
        assert b"Uploaded to a URL of before" in text
    # Made before the migration, whatever was made since.
    assert min(snapshot_versions(left.data)) < migrations.scripts()[-1][0]
