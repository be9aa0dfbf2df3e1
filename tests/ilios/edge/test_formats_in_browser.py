"""A browser that opens the HTML of a hostile document runs nothing and asks for nothing."""

from pathlib import Path

import pytest

from tests.ilios.edge.browser import CHROMIUM, open_page
from tests.ilios.edge.test_documents import DOCUMENT
from tests.ilios.edge.world import World
from tests.ilios.formats.test_html import HOSTILE, IMAGE

HOSTILE_PAGE = "\n\n".join(HOSTILE).replace("alert(1)", "document.title='run'")


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no chromium on PATH")
@pytest.mark.parametrize("is_saved", [False, True])
async def test_a_browser_runs_and_fetches_nothing(
    world: World,
    tmp_path: Path,
    is_saved: bool,  # noqa: FBT001
) -> None:
    client = await world.serve()
    # An image at the end, which is the one request that is refused, shows that all was read.
    await world.add_completed(f"{HOSTILE_PAGE}\n\n![the end]({IMAGE})".encode())
    address = f"http://127.0.0.1:{world.port}{DOCUMENT}?format=html"
    if is_saved:
        async with client.get(address) as answer:
            (tmp_path / "saved.html").write_bytes(await answer.read())
        address = f"file://{tmp_path}/saved.html"
    shown, complaints = await open_page(address, tmp_path / "profile")
    assert "<title>paper.pdf</title>" in shown
    assert "the end" in shown
    refused = [line for line in complaints.splitlines() if "CONSOLE" in line]
    assert refused
    assert all("Loading the image" in line and IMAGE in line for line in refused)
