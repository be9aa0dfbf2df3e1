"""The Mistral engine on real parts: the real SDK, the real store, and the fake API on loopback."""

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.engines import SourceFile
from ilios.blobs.local import LocalBlobs
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import EngineLimits
from ilios.engines.mistral import MistralLimits
from ilios.engines.mistral.engine import MistralEngine, MistralParts
from ilios.engines.mistral.engine import open_engine as open_mistral
from ilios.passwords.seal import Seal
from ilios.passwords.sealed import SealedPasswords
from ilios.secret import Secret
from schemas.options import ConversionOptions
from schemas.results import PageResult, ResultHead
from tests.documents import PDF
from tests.mistral.fake import FakeMistral
from tests.mistral.server import fake_mistral

ID = "d" * 24
PREFIX = "ilios-test-"


@pytest.fixture
async def fake() -> AsyncIterator[FakeMistral]:
    async with fake_mistral() as fake:
        yield fake


@pytest.fixture
async def blobs(blob_root: Path) -> AsyncIterator[LocalBlobs]:
    async with LocalBlobs.open(blob_root) as blobs:
        yield blobs


@pytest.fixture
def passwords(blobs: LocalBlobs) -> SealedPasswords:
    return SealedPasswords(blobs, Seal(bytes(32)))


@pytest.fixture
async def local_engine(tmp_path: Path, passwords: SealedPasswords) -> AsyncIterator[LocalEngine]:
    async with LocalEngine(
        EngineLimits(processes=1), tmp_path / "handover", passwords=passwords
    ) as engine:
        yield engine


OpenEngine = Callable[..., AbstractAsyncContextManager[MistralParts]]
MakeSource = Callable[..., SourceFile]


@pytest.fixture
def open_engine(fake: FakeMistral, blobs: LocalBlobs, local_engine: LocalEngine) -> OpenEngine:
    """Return a function that opens an engine with a ``key`` and limits."""

    @asynccontextmanager
    async def open_(key: str | None = None, **limits: Any) -> AsyncIterator[MistralParts]:
        async with open_mistral(
            Secret(key or fake.key),
            fake.url,
            blobs=blobs,
            splitter=local_engine,
            limits=MistralLimits(**{"retry_pause": 0.01, **limits}),
            prefix=PREFIX,
        ) as mistral:
            yield mistral

    return open_


@pytest.fixture
async def engine(open_engine: OpenEngine) -> AsyncIterator[MistralEngine]:
    async with open_engine() as mistral:
        yield mistral.engine


@pytest.fixture
def make_source(tmp_path: Path) -> MakeSource:
    """Return a function that makes a source file as the actor passes it."""

    def make(
        data: bytes,
        content_type: str = PDF,
        *,
        model: str | None = None,
        pages: str | None = None,
        again: bool = False,
    ) -> SourceFile:
        sha256 = hashlib.sha256(data).hexdigest()
        path = tmp_path / sha256[:24]
        path.write_bytes(data)
        return SourceFile(
            path,
            content_type,
            sha256,
            tenant="default",
            document_id=ID,
            options=ConversionOptions(engine="mistral", model=model, pages=pages),
            may_be_repeated=again,
        )

    return make


async def read_result(blobs: LocalBlobs, key: str) -> tuple[ResultHead, list[PageResult]]:
    """Return the head and the pages of a stored result."""
    text = b"".join([chunk async for chunk in blobs.read(key)])
    first, *rest = text.splitlines()
    head = msgspec.json.decode(first, type=ResultHead)
    return head, [msgspec.json.decode(line, type=PageResult) for line in rest]
