"""ZIP archives in a batch: names, what is no document, bounds, all or nothing."""

import io
import random
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from actors import content_types, sniffing
from ilios.edge import archives
from schemas.batches import BatchSubmitted
from schemas.documents import Stored
from tests import documents
from tests.ilios.edge.test_batches import SUBMIT, many, submitted
from tests.ilios.edge.world import World

PDF = b"%PDF-1.7 the document"


def packed(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


async def refusal(world: World, *contents: bytes, **limits: Any) -> dict[str, Any]:
    """Return the problem with which a batch is refused; nothing of it is stored."""
    client = await world.serve(**limits)
    async with client.post(SUBMIT, data=many(*contents)) as answer:
        body: dict[str, Any] = await answer.json()
        assert answer.status == 400, body
    assert (world.stored_files(), world.publisher.published) == (set(), [])
    return body


async def accepted(world: World, *contents: bytes) -> BatchSubmitted:
    client = await world.serve()
    async with client.post(SUBMIT, data=many(*contents)) as answer:
        assert answer.status == 202, await answer.text()
    return submitted(world)


async def test_each_file_of_an_archive_becomes_a_document_under_its_name(world: World) -> None:
    files = {"letters/Größe.pdf": PDF, "scan.png": b"\x89PNG\r\n\x1a\n rest", "deep/a/b.txt": b"t"}
    event = await accepted(world, b"%PDF first", packed(files), b"%PDF last")
    names = [document.file_name for document in event.documents]
    assert names[1:4] == ["letters » Größe.pdf", "scan.png", "deep » a » b.txt"]
    assert [one.document_id[-3:] for one in event.documents] == ["001", "002", "003", "004", "005"]
    for document, content in zip(event.documents[1:4], files.values(), strict=True):
        assert isinstance(document.source, Stored)
        key = f"originals/default/{document.document_id}.{document.source.suffix}"
        assert [chunk async for chunk in world.blobs.read(key)] == [content]
    sources = [one.source for one in event.documents[1:4]]
    assert [one.detected for one in sources if isinstance(one, Stored)][:2] == [
        "application/pdf",
        "image/png",
    ]
    assert len(world.stored_files()) == 5  # the archive itself is gone


async def test_folders_and_what_systems_add_are_no_documents(world: World) -> None:
    archive = packed(
        {
            "letters/": b"",
            "letters/one.pdf": PDF,
            "__MACOSX/letters/._one.pdf": b"x",
            "letters/.DS_Store": b"x",
            "letters/._two.pdf": b"x",
            "Thumbs.db": b"x",
        }
    )
    event = await accepted(world, archive)
    assert [document.file_name for document in event.documents] == ["letters » one.pdf"]


async def test_an_office_file_and_an_archive_within_an_archive_are_one_document(
    world: World,
) -> None:
    office = documents.docx(documents.paragraph("Some words."))
    inner = packed({"a.pdf": PDF})
    event = await accepted(world, office, packed({"office.docx": office, "inner.zip": inner}))
    names = [document.file_name for document in event.documents]
    assert names == ["one.pdf", "office.docx", "inner.zip"]
    found = [one.source.detected for one in event.documents if isinstance(one.source, Stored)]
    assert found == [content_types.DOCX, content_types.DOCX, None]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "etc » passwd"),
        ("/etc/passwd", "etc » passwd"),
        ("C:\\Users\\anna\\brief.pdf", "Users » anna » brief.pdf"),
        ("..", "document"),
        ("a\x1b[2J\u202efdp.exe", "a[2Jfdp.exe"),
        ("x/" * 400 + "y.pdf", "x » " * 50 + "y.pdf"),
    ],
)
def test_names_that_lead_elsewhere_are_names_within_the_archive(name: str, shown: str) -> None:
    assert archives.display_name(name) == shown


def encrypted(_: random.Random) -> bytes:
    made = bytearray(packed({"one.pdf": PDF}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        made[made.index(signature) + offset] |= 1
    return bytes(made)


def bomb(_: random.Random) -> bytes:
    return packed({"zeros.pdf": bytes(64 * 1024 * 1024 + 1)})


def unknown_method(_: random.Random) -> bytes:
    return packed({"one.pdf": PDF * 100}, zipfile.ZIP_LZMA)


def wrong_checksum(_: random.Random) -> bytes:
    return packed({"one.pdf": PDF}, zipfile.ZIP_STORED).replace(PDF, PDF[::-1])


def lying_size(_: random.Random) -> bytes:
    made = packed({"one.pdf": b"x" * 1000})
    return made.replace((1000).to_bytes(4, "little"), (10).to_bytes(4, "little"))


def truncated(dice: random.Random) -> bytes:
    made = packed({"one.pdf": dice.randbytes(500), "two.pdf": dice.randbytes(500)})
    return made[: dice.randrange(4, len(made) - 1)]


def large_directory(_: random.Random) -> bytes:
    return packed({f"{number}{'n' * 200}": b"" for number in range(6000)}, zipfile.ZIP_STORED)


def noise(dice: random.Random) -> bytes:
    return b"PK\x03\x04" + dice.randbytes(3000)


def overlapping(_: random.Random) -> bytes:
    """A hundred names for one piece of data."""
    made = packed({"0000.pdf": bytes(1024 * 1024 * 7)})
    start, stop = made.index(b"PK\x01\x02"), made.index(b"PK\x05\x06")
    entry = made[start:stop]
    listed = b"".join(entry.replace(b"0000", b"%04d" % n) for n in range(90))
    end = b"PK\x05\x06\0\0\0\0" + (90).to_bytes(2, "little") * 2
    end += len(listed).to_bytes(4, "little") + start.to_bytes(4, "little") + b"\0\0"
    return made[:start] + listed + end


HOSTILE: tuple[Callable[[random.Random], bytes], ...] = (
    encrypted,
    bomb,
    unknown_method,
    wrong_checksum,
    lying_size,
    truncated,
    large_directory,
    noise,
    overlapping,
)


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
async def test_a_batch_with_an_archive_that_cannot_be_unpacked_is_refused_as_a_whole(
    world: World, make: Callable[[random.Random], bytes]
) -> None:
    body = await refusal(world, PDF, make(random.Random(1)), PDF)
    assert body["code"] == "archive_refused"
    assert "ZIP archive" in body["error"]


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (packed({}), "contains no file"),
        (bomb(random.Random()), 'may to 67108864; the largest of its files is "zeros.pdf"'),
        (wrong_checksum(random.Random()), '"one.pdf" is damaged'),
    ],
    ids=["empty", "bomb", "checksum"],
)  # fmt: skip
async def test_the_refusal_of_an_archive_names_the_reason(
    world: World, archive: bytes, reason: str
) -> None:
    assert reason in (await refusal(world, archive))["detail"]


async def test_an_archive_that_takes_too_long_is_refused_and_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "UNPACK_SECONDS", 0.0)
    client = await world.serve()
    async with client.post(SUBMIT, data=many(PDF, packed({"a.pdf": PDF}))) as answer:
        body = await answer.json()
    assert (answer.status, body["code"]) == (503, "overloaded")
    assert "smaller archives" in body["detail"]
    assert (world.stored_files(), world.publisher.published) == (set(), [])


async def test_a_small_file_may_be_packed_as_well_as_it_can(world: World) -> None:
    log = b"2026-11-28 12:00:00,INFO,main,ok,200\n" * 260_000
    made = packed({"a.csv": log})
    assert len(log) > 200 * len(made)
    client = await world.serve(max_file_bytes=16 * 1024 * 1024)
    async with client.post(SUBMIT, data=many(made)) as answer:
        assert answer.status == 202, await answer.text()


@pytest.mark.long
async def test_hostile_archives_are_refused_or_become_documents_and_nothing_else(
    world: World,
) -> None:
    client = await world.serve()
    for seed in range(50):
        dice = random.Random(seed)
        data = HOSTILE[seed % len(HOSTILE)](dice)
        if seed >= 2 * len(HOSTILE):  # any byte of it is another one
            made = bytearray(packed({"one.pdf": PDF, "two.pdf": dice.randbytes(900)}))
            for _ in range(dice.randrange(1, 20)):
                made[dice.randrange(len(made))] = dice.randrange(256)
            data = bytes(made)
        before = len(world.stored_files())
        async with client.post(SUBMIT, data=many(data)) as answer:
            assert answer.status in (202, 400), (seed, await answer.text())
            body = await answer.json()
        more = body["totalDocuments"] if answer.status == 202 else 0
        assert len(world.stored_files()) == before + more, seed


async def test_the_files_of_archives_count_as_files_of_the_batch(world: World) -> None:
    archive = packed({f"{number}.pdf": PDF for number in range(100)})
    body = await refusal(world, PDF, archive)
    assert (body["code"], body["provided"]) == ("too_many_files", 101)


async def test_a_file_of_an_archive_that_is_empty_or_too_large_is_named(world: World) -> None:
    body = await refusal(world, packed({"a/one.pdf": PDF, "a/two.pdf": b""}))
    assert (body["code"], body["error"]) == ("empty_file", 'File "a » two.pdf" is empty')
    large = packed({"a/one.pdf": PDF, "a/large.pdf": bytes(1024 * 1024 + 1)})
    body = await refusal(world, large, max_file_bytes=1024 * 1024)
    assert (body["code"], body["error"]) == (
        "file_too_large",
        'File "a » large.pdf" exceeds 1MB limit',
    )


def test_an_archive_elsewhere_is_described_with_the_way_to_submit_it() -> None:
    archive = packed({"one.pdf": PDF})
    assert sniffing.sniff(archive, archive) is None
    assert "/v1/batch/submit" in sniffing.describe(archive, archive)
