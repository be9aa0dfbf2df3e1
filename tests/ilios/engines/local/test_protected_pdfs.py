"""Protected PDFs are opened by their password, and by no other."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pypdfium2
import pytest

from actors.engines import Password, SourceFile, Unconvertible
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.protocol import Request
from tests import documents
from tests.ilios.engines.conftest import PlaceDocument
from tests.protected_pdfs import KINDS, TEXT, Kind, protected_pdf
from tests.waiting import wait_until


class Given:
    """The stored password of every document."""

    def __init__(self) -> None:
        self.password: str | None = None
        self.asked = 0

    async def find(self, _document: SourceFile) -> Password | None:
        self.asked += 1
        return None if self.password is None else Password(self.password)


@pytest.fixture
def given() -> Given:
    return Given()


@pytest.fixture
async def engine(given: Given, tmp_path: Path) -> AsyncIterator[LocalEngine]:
    async with LocalEngine(
        EngineLimits(processes=1), tmp_path / "staging", passwords=given
    ) as engine:
        yield engine


async def convert(engine: LocalEngine, source: SourceFile, password: str) -> str:
    source = msgspec.structs.replace(source, password=Password(password))
    (page,) = (await engine.convert(source)).pages
    return page


@pytest.mark.slow
async def test_every_kind_of_protection_is_opened_by_the_users_or_the_owners_password(
    engine: LocalEngine, place_document: PlaceDocument
) -> None:
    for kind in KINDS:
        source = place_document(protected_pdf(kind, b"user", b"owner"), documents.PDF)
        assert await convert(engine, source, "user") == TEXT, kind
        assert await convert(engine, source, "owner") == TEXT, kind
        for password, code in (("User", "password_incorrect"), (None, "password_protected")):
            given = Password(password) if password else None
            with pytest.raises(Unconvertible) as refused:
                await engine.convert(msgspec.structs.replace(source, password=given))
            assert refused.value.code == code
            assert "User" not in refused.value.reason


async def test_protection_by_an_owners_password_alone_needs_none(
    engine: LocalEngine, place_document: PlaceDocument, given: Given
) -> None:
    for kind in KINDS:
        source = place_document(protected_pdf(kind, b"", b"owner"), documents.PDF)
        assert (await engine.convert(source)).pages == (TEXT,), kind
        assert await convert(engine, source, "a wrong one") == TEXT, kind
    assert not given.asked, "a document that needs no password costs no look at the store"


ENCODED: tuple[tuple[Kind, str, bytes], ...] = (
    ("RC4-128", "Grüße", "Grüße".encode("latin-1")),
    ("RC4-128", "Grüße", "Grüße".encode()),
    ("RC4-128", "Grüße", "Gru\u0308ße".encode()),
    ("AES-128", "5 € • Łódź", "5 € • Łódź".encode()),
    ("AES-128", "5 €", b"5 \xa0"),  # PDFDocEncoding
    ("AES-128", "5 €", b"5 \x80"),  # Windows-1252
    ("AES-256", "Grüße", "Grüße".encode()),
    ("AES-256", "Gru\u0308ße", "Grüße".encode()),
    ("AES-256", "\ufb01ne\u00ad\u00a0print", b"fine print"),
    ("AES-256", "пароль 密码", "пароль 密码".encode()),
    ("AES-256", "long" * 50, b"long" * 31 + b"lon"),
    ("AES-256", "of a file\r\n", b"of a file"),
    ("RC4-40", "Grüße\n", "Grüße".encode("latin-1")),
)
"""A kind, a password, and the bytes that a program has made of it."""


@pytest.mark.slow
async def test_letters_beyond_ascii_are_tried_as_programs_encode_them(
    engine: LocalEngine, place_document: PlaceDocument
) -> None:
    for kind, password, encoded in ENCODED:
        source = place_document(protected_pdf(kind, encoded), documents.PDF)
        assert await convert(engine, source, password) == TEXT, (kind, encoded)


async def test_a_stored_password_is_used_for_every_task(
    engine: LocalEngine, place_document: PlaceDocument, given: Given, tmp_path: Path
) -> None:
    source = place_document(protected_pdf("AES-256", b"user"), documents.PDF)
    given.password = "user"
    assert (await engine.convert(source)).pages == (TEXT,)
    assert await engine.count_pages(source) == 1
    for made in (await engine.cut_pages(source, [0]), await engine.remove_protection(source)):
        document = pypdfium2.PdfDocument(made)
        assert document[0].get_textpage().get_text_range() == TEXT
        document.close()
    given.password = "wrong"
    with pytest.raises(Unconvertible) as refused:
        await engine.convert(source)
    assert refused.value.code == "password_incorrect"
    given.password = None


async def test_a_password_does_no_harm_where_none_is_needed(
    engine: LocalEngine, place_document: PlaceDocument
) -> None:
    pdf = place_document(documents.pdf("Open to all"), documents.PDF)
    assert await convert(engine, pdf, "any") == "Open to all"
    damaged = place_document(documents.pdf("Open to all")[:-120], documents.PDF)
    assert await convert(engine, damaged, "any") == "Open to all"


async def test_a_child_that_has_had_a_password_serves_no_other_document(
    engine: LocalEngine, place_document: PlaceDocument
) -> None:
    await engine.check()
    (before,) = engine.child_pids
    source = place_document(protected_pdf("AES-256", b"user"), documents.PDF)
    with pytest.raises(Unconvertible):
        await engine.convert(source)
    assert engine.child_pids == {before}
    assert await convert(engine, source, "user") == TEXT
    await wait_until(lambda: before not in engine.child_pids)
    assert (await engine.convert(place_document(documents.pdf("Open"), documents.PDF))).pages


def test_a_request_to_a_child_does_not_show_its_password() -> None:
    request = Request("document", documents.PDF, None, password=Password("canary"))
    assert "canary" not in repr(request)
