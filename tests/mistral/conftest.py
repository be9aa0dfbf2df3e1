from collections.abc import AsyncIterator

import pytest

from tests.mistral.fake import FakeMistral, fake_mistral
from tests.mistral.sdk import SdkClient, connected


@pytest.fixture
async def fake() -> AsyncIterator[FakeMistral]:
    """A fake of the Mistral API for one test."""
    async with fake_mistral() as fake:
        yield fake


@pytest.fixture
async def client(fake: FakeMistral) -> AsyncIterator[SdkClient]:
    """The real SDK, connected to it."""
    async with connected(fake.url, fake.key) as client:
        yield client
