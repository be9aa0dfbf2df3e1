"""Preferences are understood as RFC 7240 has them, applied, and named in the answer."""

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from ilios.edge.preferences import Preferences, parse
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.world import World, record
from tests.waiting import wait_until

BOTH = Preferences(respond_async=True, cancel_on_disconnect=True)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], Preferences()),
        (["wait=10"], Preferences(wait=10)),
        (['WAIT = "7"; x=y'], Preferences(wait=7)),
        (["wait=1, wait=2"], Preferences(wait=1)),
        (["respond-async, wait=5"], Preferences(wait=5, respond_async=True)),
        (["respond-async", "Cancel-On-Disconnect"], BOTH),
        (["cancel-on-disconnect; a=b,return=minimal"], Preferences(cancel_on_disconnect=True)),
        (["wait=soon"], Preferences()),
        (["wait=-1"], Preferences()),
        (["wait=٣"], Preferences()),
        ([f"wait={'9' * 100}"], Preferences()),
        (['a="x, cancel-on-disconnect, \\", respond-async"'], Preferences()),
        (['"' * 8000], Preferences()),
        ([",,=;;,wait"], Preferences()),
    ],
)
def test_preferences_are_read(headers: list[str], expected: Preferences) -> None:
    given = CIMultiDict([("Prefer", header) for header in headers])
    assert parse(make_mocked_request("POST", "/", headers=given)) == expected


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("wait=0", "wait=0"),
        ("respond-async", "respond-async"),
        ("wait=0, cancel-on-disconnect", "wait=0, cancel-on-disconnect"),
    ],
)
async def test_a_conversion_is_waited_for_as_long_as_is_preferred(
    world: World, prefer: str, applied: str
) -> None:
    client = await world.serve()
    async with client.post("/v1/convert", data=form_data(), headers={"Prefer": prefer}) as answer:
        assert answer.status == 202
        assert answer.headers["Preference-Applied"] == applied
        assert "Preference-Applied" in answer.headers["Access-Control-Expose-Headers"]


async def test_a_wait_longer_than_the_services_own_is_shortened(world: World) -> None:
    world.publisher.on_submission = world.convert
    client = await world.serve(convert_timeout=20)
    headers = {"Prefer": "wait=500"}
    async with client.post("/v1/convert", data=form_data(), headers=headers) as answer:
        assert (answer.status, answer.headers["Preference-Applied"]) == (200, "wait=20")


async def test_without_preferences_none_is_applied(world: World) -> None:
    world.publisher.on_submission = world.convert
    client = await world.serve()
    headers = {"Prefer": "return=minimal"}
    async with client.post("/v1/convert", data=form_data(), headers=headers) as answer:
        assert answer.status == 200
        assert "Preference-Applied" not in answer.headers


async def test_a_submission_that_waits_takes_no_place_of_uploads(world: World) -> None:
    client = await world.serve(max_uploads=1, upload_slot_timeout=0.1)
    headers = {"Prefer": "wait=30"}
    waiting = asyncio.ensure_future(client.post("/v1/documents", data=form_data(), headers=headers))
    await wait_until(lambda: bool(world.outcomes.watched))
    async with client.post("/v1/documents", data=form_data()) as answer:
        assert answer.status == 202
    await world.stop_edge()
    async with await waiting as answer:
        assert (answer.status, (await answer.json())["status"]) == (202, "pending")
        assert answer.headers["Preference-Applied"] != "wait=30", "it did not wait so long"


async def test_a_submission_may_wait_for_the_end(world: World) -> None:
    async def complete(event: Any) -> None:
        world.reads.add(record(document_id=event.document_id, state="failed", code="corrupt"))

    client = await world.serve()
    headers = {"Prefer": "wait=1"}
    async with client.post("/v1/documents", data=form_data(), headers=headers) as answer:
        assert (answer.status, answer.headers["Preference-Applied"]) == (202, "wait=1")
        assert (await answer.json())["status"] == "pending"
    world.publisher.on_submission = complete
    async with client.post("/v1/documents", data=form_data(), headers=headers) as answer:
        assert answer.status == 201
        body = await answer.json()
        assert (body["status"], body["code"]) == ("failed", "corrupt")
        assert answer.headers["Location"] == f"/v1/documents/{body['id']}"
