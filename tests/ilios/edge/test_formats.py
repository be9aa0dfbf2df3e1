"""An output format is declared once: documents, their description and the CLI read it there."""

from collections.abc import AsyncGenerator

import pytest

from actors.engines import Conversion
from ilios.formats import FORMATS
from ilios.formats.declaration import Format, FormatOptions, StoredDocument
from tests.ilios.edge.world import ID, World


async def _shout(document: StoredDocument) -> AsyncGenerator[bytes, None]:
    async for piece in document.markdown:
        yield piece.upper()


def _print(_name: str, conversion: Conversion, _options: FormatOptions) -> str:
    return "".join(conversion.pages).upper()


@pytest.fixture
def shouted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Declare one more format."""
    monkeypatch.setitem(FORMATS, "shouted", Format("text/x-shouted", "txt", _shout, _print))


@pytest.mark.usefixtures("shouted")
async def test_a_declared_format_is_served(world: World) -> None:
    client = await world.serve()
    await world.add_completed(b"# hello\n")
    async with client.get(f"/api/documents/{ID}", params={"format": "shouted"}) as answer:
        assert (answer.status, answer.content_type) == (200, "text/x-shouted")
        assert await answer.text() == "# HELLO\n"
    async with client.get(f"/api/documents/{ID}", params={"format": "xml"}) as answer:
        assert '"shouted"' in (await answer.json())["error"]
