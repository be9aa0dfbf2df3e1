"""An emptied or a wrong blob store is waited for; nothing is judged by what is missing in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.ilios.blobs.test_s3 import left
from tests.journeys.running import running
from tests.journeys.starting import WITHIN, is_ready, is_refused, starting, waits_for
from tests.journeys.visitors import Visitor, ended
from tests.s3.servers import BUCKET, S3Server
from tests.waiting import until

OWNER = ".ilios"


async def work(visitor: Visitor, data: Path, documents: int = 2) -> None:
    for _ in range(documents):
        assert await visitor.is_accepted()
    await until(lambda: are_completed(visitor, data), within=WITHIN)


def are_completed(visitor: Visitor, data: Path) -> bool:
    states = ended(data / "ilios.db")
    return all(states.get(document) == "completed" for document in visitor.promised)


@asynccontextmanager
async def worked(data: Path, **environ: str) -> AsyncIterator[dict[str, str]]:
    """Have a service complete two documents and stop; lend what was promised."""
    async with running(data, **environ) as service, Visitor(service) as visitor:
        await work(visitor, data)
        promised = visitor.promised
    yield promised


async def all_are_there(visitor: Visitor, promised: dict[str, str]) -> None:
    for document, words in promised.items():
        assert await visitor.text(document) == words


def empty(server: S3Server, prefix: str) -> dict[str, bytes]:
    """Take everything out of a bucket; returns it."""
    taken = {}
    for key in server.objects(prefix):
        taken[key] = server.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        server.client.delete_object(Bucket=BUCKET, Key=key)
    return taken


async def test_a_bucket_that_was_emptied_is_waited_for_and_not_taken_over(
    swift: S3Server, tmp_path: Path
) -> None:
    place = swift.place()
    environ = swift.environ(place)
    async with worked(tmp_path, **environ) as promised:
        taken = empty(swift, place.prefix)
        async with starting(tmp_path, **environ) as (service, visitor):
            await waits_for(visitor, f"the object {place.prefix}{OWNER}, which names the owner")
            assert place.prefix + OWNER not in swift.objects(place.prefix)
            for key, content in taken.items():
                swift.set(key, content)
            await service.ready()
            await all_are_there(visitor, promised)


async def test_another_bucket_of_the_same_owner_is_not_the_right_one(
    swift: S3Server, tmp_path: Path
) -> None:
    place = swift.place()
    environ = swift.environ(place)
    async with worked(tmp_path, **environ) as promised:
        owner = swift.client.get_object(Bucket=BUCKET, Key=place.prefix + OWNER)["Body"].read()
        other = swift.environ(swift.place())
        swift.set(other["ILIOS_S3_PREFIX"] + OWNER, owner)
        async with starting(tmp_path, **other) as (service, visitor):
            await waits_for(visitor, "blobs that the database names is in the blob store")
            assert await service.stop() == 0
        async with running(tmp_path, **environ) as service, Visitor(service) as visitor:
            await all_are_there(visitor, promised)


async def test_a_bucket_that_is_emptied_while_the_service_runs_fails_no_document(
    swift: S3Server, tmp_path: Path
) -> None:
    place = swift.place()
    async with running(tmp_path, **swift.environ(place)) as service, Visitor(service) as visitor:
        await work(visitor, tmp_path)
        promised = dict(visitor.promised)
        taken = empty(swift, place.prefix)
        await until(lambda: is_blocked(visitor), within=WITHIN)
        await is_refused(visitor)
        late = await visitor.publish()
        assert late is not None
        assert left(swift, place) == []
        assert set(ended(tmp_path / "ilios.db").values()) <= {"pending", "processing", "completed"}
        for key, content in taken.items():
            swift.set(key, content)
        await until(lambda: is_ready(visitor), within=WITHIN)
        await until(lambda: are_completed(visitor, tmp_path), within=WITHIN)
        await all_are_there(visitor, promised)


@pytest.mark.parametrize("how", ["moved away", "an empty one in its place"])
async def test_a_wrong_directory_of_blobs_is_waited_for(tmp_path: Path, how: str) -> None:
    data = tmp_path / "data"
    async with worked(data) as promised:
        aside = (data / "blobs").rename(tmp_path / "aside")
        if how != "moved away":
            (data / "blobs").mkdir()
        async with starting(data) as (service, visitor):
            await waits_for(visitor, f"blobs that the database names is in {data}/blobs")
            assert not (data / "blobs").exists() or not list((data / "blobs").iterdir())
            if how != "moved away":
                (data / "blobs").rmdir()
            aside.rename(data / "blobs")
            await service.ready()
            await all_are_there(visitor, promised)


async def test_what_waited_for_its_blob_is_not_failed_for_a_wrong_directory(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running(data) as service, Visitor(service, pages=60) as visitor:
        for _ in range(6):
            assert await visitor.is_accepted()
        await service.kill("all")
    aside = (data / "blobs").rename(tmp_path / "aside")
    async with starting(data) as (service, waiting):
        await waits_for(waiting, "blobs that the database names is in")
        aside.rename(data / "blobs")
        await service.ready()
        await until(lambda: are_completed(visitor, data), within=WITHIN)


async def test_blobs_that_are_lost_for_good_are_given_up_by_a_file(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with worked(data) as promised:
        (data / "blobs").rename(tmp_path / "aside")
        async with starting(data) as (service, visitor):
            await waits_for(visitor, f"make the file {data}/blobs.lost")
            (data / "blobs.lost").touch()
            await service.ready()
            for document in promised:
                gone = await visitor.ask("GET", f"/api/documents/{document}")
                assert (gone.status, gone.code) == (410, "content_gone")
            await work(visitor, data)
            await all_are_there(visitor, visitor.promised)


async def test_one_document_without_its_blobs_is_that_documents_own_matter(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as service, Visitor(service) as visitor:
        await work(visitor, tmp_path, documents=3)
        lost = next(iter(visitor.promised))
        for path in (tmp_path / "blobs").glob(f"*/*{lost}*"):
            path.unlink()
        gone = await visitor.ask("GET", f"/api/documents/{lost}")
        assert (gone.status, gone.code) == (410, "content_gone")
        assert await is_ready(visitor)
        assert await visitor.is_accepted()


async def is_blocked(visitor: Visitor) -> bool:
    answer = await visitor.ask("GET", "/api/usage/summary")
    return answer.status == 503 and answer.code == "not_ready"
