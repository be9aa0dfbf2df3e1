"""The EventSource of a real browser reads a stream with a ticket, resumes it and stops."""

from pathlib import Path

import pytest
from aiohttp import web
from msgspec import structs

from bus.publisher import Publisher
from ilios.api_keys import tenant_of
from tests import events
from tests.ilios.edge.browser import CHROMIUM, open_page
from tests.ilios.edge.world import World, record

KEY = "one-key-0123456789"
PAGE = """<!doctype html><title>waiting</title><pre id="seen"></pre><script>
const seen = document.getElementById("seen");
const source = new EventSource("URL");
const note = (event) => {
  const data = JSON.parse(event.data);
  seen.textContent += `${event.type} ${data.status} ${event.lastEventId.length > 20};`;
};
for (const name of ["document.submitted", "document.processing", "document.completed"])
  source.addEventListener(name, note);
source.onerror = () => { if (source.readyState === EventSource.CLOSED) document.title = "closed"; };
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no chromium on PATH")
async def test_a_browser_reads_the_events_of_a_document_to_their_end(
    world: World, publisher: Publisher, tmp_path: Path
) -> None:
    document_id, tenant = events.id_of(1), tenant_of(KEY)
    world.reads.add(record(document_id=document_id, tenant=tenant, state="processing"))
    client = await world.serve(KEY)
    for event in (
        events.submitted(), events.fetched(), events.converted(), events.completed()
    ):  # fmt: skip
        await publisher.publish(structs.replace(event, tenant=tenant))
    answer = await client.post(
        "/v1/events/ticket", json={"documentId": document_id}, headers={"X-Api-Key": KEY}
    )
    url = f"http://127.0.0.1:{world.port}{(await answer.json())['url']}"

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text=PAGE.replace("URL", url), content_type="text/html")

    # Of another origin, as the pages of clients are.
    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        shown, _ = await open_page(f"http://127.0.0.1:{port}/", tmp_path / "profile")
    finally:
        await runner.cleanup()
    seen = "document.submitted pending true;document.processing processing true;"
    assert f"{seen}document.completed completed true;</pre>" in shown
    assert "<title>closed</title>" in shown, "204 ends the reconnecting"
