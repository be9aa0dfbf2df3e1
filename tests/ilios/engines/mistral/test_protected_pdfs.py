"""Mistral gets protected PDFs without their protection."""

import msgspec
import pytest

from actors.blob_keys import original_key
from actors.engines import HeldDocument, Password, Unconvertible
from ilios.blobs.local import LocalBlobs
from ilios.engines.mistral import protection
from ilios.engines.mistral.engine import MistralEngine, MistralParts
from ilios.passwords.seal import Seal
from ilios.passwords.sealed import SealedPasswords
from schemas.options import NO_OPTIONS
from tests import documents
from tests.ilios.engines.mistral.conftest import ID, MakeSource, OpenEngine
from tests.mistral.fake import FakeMistral
from tests.protected_pdfs import TEXT, protected_pdf

PROTECTED = protected_pdf("AES-256", b"user")


async def test_a_protected_pdf_is_sent_opened_and_paid_once(
    engine: MistralEngine,
    fake: FakeMistral,
    make_source: MakeSource,
    passwords: SealedPasswords,
) -> None:
    await passwords.put("default", ID, "user")
    conversion = await engine.convert(make_source(PROTECTED))
    assert TEXT in conversion.pages[0]
    again = await engine.convert(make_source(PROTECTED, again=True))
    assert again.pages == conversion.pages
    assert fake.call_log.pages_paid == 1
    assert TEXT in (await engine.convert(make_source(PROTECTED, pages="1"))).pages[0]


async def test_a_pdf_that_only_its_owner_may_change_is_sent_opened_without_a_password(
    engine: MistralEngine, make_source: MakeSource
) -> None:
    source = make_source(protected_pdf("RC4-128", b"", b"owner"))
    async with protection.unprotected(source, engine._splitter) as sent:
        content = sent.path.read_bytes()
        assert sent.size == len(content)
    assert b"/Encrypt" not in content
    assert not sent.path.exists()
    assert TEXT in (await engine.convert(source)).pages[0]


STORED = (
    (0, None, "password_protected"),
    (0, "wrong", "password_incorrect"),
    (1, "user", "password_required"),
)
"""The number of a key, the password it seals, and the refusal that follows."""


@pytest.mark.parametrize("stored", STORED)
async def test_a_pdf_that_cannot_be_opened_is_not_sent(
    engine: MistralEngine,
    fake: FakeMistral,
    make_source: MakeSource,
    blobs: LocalBlobs,
    stored: tuple[int, str | None, str],
) -> None:
    key, password, code = stored
    if password is not None:
        await SealedPasswords(blobs, Seal(bytes([key]) * 32)).put("default", ID, password)
    with pytest.raises(Unconvertible) as refused:
        await engine.convert(make_source(PROTECTED))
    assert refused.value.code == code
    assert not fake.call_log.calls


async def test_a_document_that_is_not_protected_is_sent_as_it_is(
    engine: MistralEngine, make_source: MakeSource
) -> None:
    for data, kind in (
        (documents.pdf("/Encryption is explained here"), documents.PDF),
        (documents.pdf("What is /Encrypt for?"), documents.PDF),
        (b"%PDF-1.7 broken /Encrypt", documents.PDF),
        (documents.image_file(documents.text_image("/Encrypt"), "PNG"), documents.PNG),
    ):
        source = make_source(data, kind)
        async with protection.unprotected(source, engine._splitter) as sent:
            assert (sent is source) == (b"for?" not in data)
        if data.startswith(b"%PDF-1.4"):
            assert "Encrypt" in (await engine.convert(source)).pages[0]


async def test_protected_pdfs_take_part_in_a_batch_if_their_password_opens_them(
    open_engine: OpenEngine, fake: FakeMistral, blobs: LocalBlobs, passwords: SealedPasswords
) -> None:
    contents = (documents.pdf("Open"), PROTECTED, protected_pdf("AES-128", b"other"))
    held = []
    for number, content in enumerate(contents):
        name = f"{number}" * 24
        blob = await blobs.put_bytes(original_key("default", name), content)
        held.append(HeldDocument("default", name, blob, documents.PDF))
        await passwords.put("default", name, "user")
    async with open_engine() as mistral:
        job, excluded = await mistral.batches.submit("default-batch", held, NO_OPTIONS)
        assert job is not None
        assert excluded == {"2" * 24}, "converted alone it fails with the reason"
        results = await _results(mistral, fake, held)
    assert TEXT in results["1" * 24]
    assert "Open" in results["0" * 24]


async def _results(
    mistral: MistralParts, fake: FakeMistral, held: list[HeldDocument]
) -> dict[str, str]:
    (job,) = fake.jobs.existing()
    await fake.jobs.advance(job.id, "SUCCESS")
    return {
        name: "".join(conversion.pages)
        async for name, conversion in mistral.batches.results(job.id, held, NO_OPTIONS)
    }


def test_a_source_does_not_show_its_password(make_source: MakeSource) -> None:
    shown = repr(msgspec.structs.replace(make_source(b""), password=Password("canary")))
    assert "canary" not in shown
