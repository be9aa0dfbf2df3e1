"""The trace of a request goes on to every event that follows from it, and to the log lines."""

import json
from pathlib import Path

import aiohttp

from bus import streams
from bus.connection import Connection
from ilios.nats.server import NatsServer
from tests import documents
from tests.journeys.running import RunningService
from tests.journeys.service_client import ServiceClient
from tests.waiting import wait_until

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
OTHER = PARENT.replace("4bf", "abc")


def form() -> aiohttp.FormData:
    found = aiohttp.FormData()
    found.add_field("file", documents.pdf("Traced"), filename="report.pdf")
    return found


async def traces(connection: Connection) -> dict[str, list[str | None]]:
    """Return the traces of the events of each document, in the order of the log."""
    js = connection.jetstream
    last = (await js.stream_info(streams.EVENTS)).state.last_seq
    found: dict[str, list[str | None]] = {}
    for sequence in range(1, last + 1):
        message = await js.get_msg(streams.EVENTS, sequence)
        subject = message.subject or ""
        if subject.startswith("ilios.document."):
            trace = (message.headers or {}).get("traceparent")
            found.setdefault(subject.rpartition(".")[2], []).append(trace)
    return found


async def test_every_event_and_line_of_a_document_has_the_trace_of_its_request_and_no_other(
    nats_server: NatsServer, connection: Connection, tmp_path: Path
) -> None:
    service = RunningService(
        tmp_path / "data",
        NATS_URL=nats_server.url("operator"),
        ILIOS_EDGE_PROCESSES="1",
        ILIOS_LOG_LEVEL="info",
    )
    service.log = tmp_path / "service.log"
    await service.start()
    try:
        async with ServiceClient(service) as client:
            ids = []
            for header in (PARENT, OTHER, "no trace"):
                headers = {"traceparent": header}
                answer = await client.send(
                    "POST", "/api/documents/submit", data=form(), headers=headers
                )
                assert answer.status == 202
                ids.append(str(json.loads(answer.body)["id"]))

            async def are_completed() -> bool:
                found = await traces(connection)
                return all(len(found.get(one, ())) == 3 for one in ids)

            await wait_until(are_completed)
            found = await traces(connection)
    finally:
        await service.stop()
    assert [found[one] for one in ids] == [[PARENT] * 3, [OTHER] * 3, [None] * 3]
    lines = [json.loads(line) for line in service.log.read_text().splitlines() if line[:1] == "{"]
    of_documents = {
        (line["document_id"], line.get("trace_id"))
        for line in lines
        if line["event"] == "document completed"
    }
    assert of_documents == {
        (ids[0], TRACE_ID),
        (ids[1], TRACE_ID.replace("4bf", "abc")),
        (ids[2], None),
    }
