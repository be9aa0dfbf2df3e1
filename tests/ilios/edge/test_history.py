"""The history over HTTP: in the order of the attempts, and of the owner alone."""

from datetime import timedelta
from typing import Any

from schemas.records import DocumentHistory, HistoryStep
from tests.ilios.edge.world import CREATED_AT, ID, World, record

PATH = f"/v1/documents/{ID}/history"


def step(event: str, seconds: int, **members: Any) -> HistoryStep:
    at = CREATED_AT + timedelta(seconds=seconds)
    return HistoryStep(event=event, at=at, **({"requeues": 0} | members))


async def test_the_history_has_attempts_duration_and_cost_in_order(world: World) -> None:
    await world.add_completed(b"# Text\n", requeues=1)
    steps = (
        step("completed", 9, requeues=1),
        step("requeued", 5, requeues=1),
        step("failed", 3, code="engine_crashed", reason="It crashed.", attempts=4),
        step("submitted", 0),
    )
    world.reads.histories["default", ID] = DocumentHistory(steps=steps, total_micros=3900)
    client = await world.serve()
    async with client.get(PATH) as answer:
        assert answer.headers["Cache-Control"] == "private, no-store"
        body = await answer.json()
    assert body["id"] == ID
    assert [(one["event"], one["attempt"]) for one in body["history"]] == [
        ("submitted", 1),
        ("failed", 1),
        ("requeued", 2),
        ("completed", 2),
    ]
    failed, completed = body["history"][1], body["history"][3]
    assert (failed["code"], failed["tries"]) == ("engine_crashed", 4)
    assert completed == {
        "event": "completed",
        "at": "2026-01-15T10:30:09.123Z",
        "attempt": 2,
        "durationMs": 1235,
        "pages": 3,
        "engine": "local",
        "model": "local-1",
        "costMicros": 3900,
    }


async def test_a_document_from_before_the_history_has_what_its_state_shows(world: World) -> None:
    await world.add_completed(b"# Text\n", state="archived", archived_at=CREATED_AT)
    client = await world.serve()
    async with client.get(PATH) as answer:
        events = [one["event"] for one in (await answer.json())["history"]]
    assert events == ["submitted", "completed", "archived"]


async def test_the_history_of_another_tenant_is_not_found(world: World) -> None:
    world.reads.add(record())
    client = await world.serve("a-key")
    async with client.get(PATH, headers={"X-Api-Key": "a-key"}) as answer:
        assert answer.status == 404
