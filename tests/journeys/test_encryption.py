"""A service with an encrypted database: nothing plain in its files, in no state of them."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import msgspec
import pytest

from bus.failpoints import Failpoint
from ilios.database.connection import read_only_uri
from ilios.database.encryption import open_sqlite
from ilios.database.recovery import snapshots
from ilios.database.sqlite import DamageMonitor
from ilios.secret import Secret
from schemas.documents import DocumentSubmitted, Inline
from schemas.ids import new_id
from tests.ilios.database.keys import using
from tests.journeys.commands import run_ilios
from tests.journeys.running import RunningService, running_service
from tests.journeys.service_client import ServiceClient
from tests.waiting import wait_until

KEY, OTHER = "a passphrase of some length", "0123456789abcdef" * 4
MARKER = "Zanzibar7391"
UNFINISHED = {"pending", "processing"}
WRITTEN, REPLACED = "rekeying.written", "rekeying.replaced"
"""Failpoints of a file under another key: before it has its name, and after."""


def database_files(data: Path) -> list[Path]:
    return [*data.glob("ilios.db*"), *(data / "snapshots").glob("*")]


def plain_files(data: Path, *markers: str) -> list[str]:
    """Return the files of the database and its snapshots in which something can be read."""
    found = [marker.encode() for marker in (*markers, MARKER, "SQLite format 3", "CREATE TABLE")]
    return [
        path.name
        for path in database_files(data)
        if any(marker in path.read_bytes() for marker in found)
    ]


def documents(database: Path, key: str | None) -> list[tuple[object, ...]]:
    with (
        using(None if key is None else Secret(key)),
        closing(open_sqlite(read_only_uri(database))) as connection,
    ):
        return connection.execute("SELECT * FROM documents ORDER BY id").fetchall()


async def submit_everywhere(service: RunningService, client: ServiceClient) -> None:
    """Have the marker in a name, a body, an inline event, a URL and a reason; wait for the ends."""
    for content in (f"The body of {MARKER}.\n".encode(), b"%PDF-1.7 broken"):
        form = aiohttp.FormData()
        kind = "text/plain" if content.startswith(b"The") else "application/pdf"
        form.add_field("file", content, filename=f"{MARKER}.{kind[-3:]}", content_type=kind)
        assert (await client.send("POST", "/api/documents/submit", data=form)).status == 202
    await client.send("POST", "/v1/documents", json={"url": f"http://127.0.0.1:1/{MARKER}"})
    inline = DocumentSubmitted(
        document_id=new_id(), source=Inline(f"In {MARKER}".encode()), file_name=f"{MARKER}.txt"
    )
    assert await client.publish_event(inline)

    async def all_ended() -> bool:
        answer = await client.send("GET", "/v1/documents")
        found = msgspec.json.decode(answer.body)["documents"]
        return len(found) >= 3 and not UNFINISHED & {one["status"] for one in found}

    await wait_until(all_ended)
    assert not service.has_ended


@pytest.mark.slow
async def test_nothing_of_a_document_is_in_the_files_of_an_encrypted_database(
    tmp_path: Path,
) -> None:
    environ = {"DB_ENCRYPTION_KEY": KEY, "ILIOS_EDGE_PROCESSES": "1"}
    async with running_service(tmp_path, **environ) as service, ServiceClient(service) as client:
        await submit_everywhere(service, client)
        assert (tmp_path / "ilios.db-wal").stat().st_size
        assert plain_files(tmp_path) == []
        await service.kill("all")
        assert plain_files(tmp_path) == []
        await service.start()
        await wait_until(lambda: any((tmp_path / "snapshots").glob("ilios-*.db")))
        before = await client.send("GET", "/v1/documents")
        assert MARKER in before.body.decode()
        assert plain_files(tmp_path) == []
    sound = await run_ilios(tmp_path, "rebuild", "--check", DB_ENCRYPTION_KEY=KEY)
    assert sound.code == 0, sound
    assert "equal row by row" in sound.out
    rows = documents(tmp_path / "ilios.db", KEY)
    with (tmp_path / "ilios.db").open("r+b") as file:
        file.seek(4096)
        file.write(bytes(8192))
    damaged = await run_ilios(tmp_path, "serve", PORT="0", DB_ENCRYPTION_KEY=KEY)
    assert damaged.code == 3, damaged
    assert "ilios rebuild" in damaged.errors
    made = await run_ilios(tmp_path, "rebuild", DB_ENCRYPTION_KEY=KEY)
    assert made.code == 0, made
    assert documents(tmp_path / "ilios.db", KEY) == rows
    assert plain_files(tmp_path) == []


@pytest.mark.slow
async def test_a_lost_key_is_spoken_of_at_the_first_start_and_a_wrong_one_refused(
    tmp_path: Path,
) -> None:
    data, log = tmp_path / "data", tmp_path / "log"
    service = RunningService(data, DB_ENCRYPTION_KEY=KEY)
    service.log = log
    await service.start()
    assert await service.stop() == 0
    assert "without DB_ENCRYPTION_KEY nobody can ever read them" in log.read_text()
    for key, reason in ((OTHER, "is not the key that it was written with"), ("", "is not set")):
        refused = await run_ilios(data, "serve", PORT="0", DB_ENCRYPTION_KEY=key)
        assert refused.code == 2
        assert reason in refused.errors


@pytest.mark.slow
@pytest.mark.usefixtures("completed")
async def test_a_database_is_encrypted_and_rekeyed_whenever_it_is_killed(tmp_path: Path) -> None:
    database, new = tmp_path / "ilios.db", tmp_path / "new-key"
    await snapshots.create(
        database, tmp_path / "snapshots", DamageMonitor(database), datetime.now(UTC)
    )
    rows = documents(database, None)
    (marker,) = (str(row[1]) for row in rows)
    new.write_text(f"{OTHER}\n")
    points: tuple[Failpoint | None, ...] = ("rekeying.written", "rekeying.replaced", None)
    for what, before, after in (
        (("encrypt",), None, KEY),
        (("rekey", "--new-key-file", str(new)), KEY, OTHER),
    ):
        for point in points:
            ended = await run_ilios(tmp_path, "database", *what, armed=point, DB_ENCRYPTION_KEY=KEY)
            assert ended.code == (0 if point is None else -9), ended
            # The snapshot comes first: the old key is that of the database until the end.
            assert documents(database, before if point else after) == rows
        assert plain_files(tmp_path, marker) == []
        (snapshot,) = (tmp_path / "snapshots").iterdir()
        assert documents(snapshot, after) == rows
        with pytest.raises(sqlite3.DatabaseError):
            documents(database, before or "0" * 64)
    environ = {"DB_ENCRYPTION_KEY_FILE": str(new)}
    async with running_service(tmp_path, **environ) as service, ServiceClient(service) as client:
        assert await client.status(marker) == "completed"
