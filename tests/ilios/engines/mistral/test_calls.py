"""Calls of the API: retries, lost answers, the circuit breaker and limits."""

import asyncio

import pytest

from actors.engines import EngineUnavailable, Unconvertible
from ilios.engines.mistral import uploads
from ilios.engines.mistral.calls import MOST_LOST
from ilios.engines.mistral.engine import MistralEngine
from tests import documents
from tests.ilios.engines.mistral.conftest import MakeSource, OpenEngine
from tests.mistral.fake import FakeMistral
from tests.mistral.faults import Kind
from tests.mistral.pages import mark
from tests.waiting import wait_until

ONE_PAGE = documents.pdf("Hello from the first page")


@pytest.mark.parametrize(
    "kind",
    [
        "429", "capacity", "500", "502", "503", "504",
        "reset", "truncated", "cut_json", "garbage", "html", "other_shape",
    ],
)  # fmt: skip
async def test_temporary_errors_are_retried(
    engine: MistralEngine, fake: FakeMistral, make_source: MakeSource, kind: Kind
) -> None:
    fake.faults.fail_next("ocr", kind, 2)
    conversion = await engine.convert(make_source(ONE_PAGE))
    assert mark(ONE_PAGE, 0) in conversion.pages[0]
    assert fake.call_log.requests["ocr"] == 3
    assert conversion.billed_pages == 1, "whatever was lost on its way"


async def test_a_call_that_times_out_is_retried(
    open_engine: OpenEngine, fake: FakeMistral, make_source: MakeSource
) -> None:
    fake.faults.fail_next("ocr", "hang")
    async with open_engine(call_timeout=0.5) as mistral:
        conversion = await mistral.engine.convert(make_source(ONE_PAGE))
    assert mark(ONE_PAGE, 0) in conversion.pages[0]


@pytest.mark.parametrize("kind", ["wrong_pages", "other_shape"])
async def test_a_document_fails_after_several_lost_answers(
    engine: MistralEngine, fake: FakeMistral, make_source: MakeSource, kind: Kind
) -> None:
    fake.faults.fail_next("ocr", kind, MOST_LOST + 2)
    with pytest.raises(Unconvertible) as refused:
        await engine.convert(make_source(ONE_PAGE))
    assert refused.value.code == "engine_failed"
    assert fake.call_log.requests["ocr"] == MOST_LOST


async def test_an_upload_whose_answer_is_lost_is_retried_and_not_billed(
    engine: MistralEngine,
    fake: FakeMistral,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uploads, "INLINE_BYTES", 100)
    fake.faults.fail_next("files.upload", "reset", MOST_LOST + 1)
    conversion = await engine.convert(make_source(ONE_PAGE))
    assert mark(ONE_PAGE, 0) in conversion.pages[0]
    assert fake.call_log.pages_paid == 1


async def test_pages_are_put_in_order(
    engine: MistralEngine, fake: FakeMistral, make_source: MakeSource
) -> None:
    document = documents.pdf("One", "Two", "Three")
    fake.faults.fail_next("ocr", "wrong_order")
    conversion = await engine.convert(make_source(document))
    assert [mark(document, n) in page for n, page in enumerate(conversion.pages)] == [True] * 3


async def test_a_long_retry_after_frees_the_slot(
    engine: MistralEngine, fake: FakeMistral, make_source: MakeSource
) -> None:
    fake.faults.fail_next("ocr", "429", retry_after=120)
    with pytest.raises(EngineUnavailable) as refused:
        await engine.convert(make_source(ONE_PAGE))
    assert refused.value.code == "engine_busy"
    assert refused.value.retry_after == 120


async def test_a_short_retry_after_is_honoured(
    engine: MistralEngine, fake: FakeMistral, make_source: MakeSource
) -> None:
    fake.faults.fail_next("ocr", "429", retry_after_ms=400)
    await engine.convert(make_source(ONE_PAGE))
    first, second = fake.call_log.calls
    assert (first.status, second.status) == (429, 200)


async def test_an_exhausted_budget_opens_the_circuit(
    engine: MistralEngine, fake: FakeMistral, make_source: MakeSource
) -> None:
    fake.faults.fail_next("ocr", "quota")
    with pytest.raises(EngineUnavailable) as refused:
        await engine.convert(make_source(ONE_PAGE))
    assert refused.value.code == "engine_quota"
    assert engine.problem is not None
    assert "budget" in engine.problem


async def test_an_api_that_is_down_opens_the_circuit_and_one_call_probes(
    engine: MistralEngine,
    fake: FakeMistral,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ilios.engines.mistral.calls.FIRST_OPEN_SECONDS", 1.5)
    monkeypatch.setattr("ilios.engines.mistral.calls.PROBE_SECONDS", 0.0)
    fake.faults.fail_next("ocr", "503", 8)
    with pytest.raises(EngineUnavailable) as refused:
        await engine.convert(make_source(ONE_PAGE))
    assert refused.value.code == "engine_unavailable"
    assert engine.problem is not None
    asked = fake.call_log.requests["ocr"]
    with pytest.raises(EngineUnavailable):
        await engine.convert(make_source(ONE_PAGE))
    assert fake.call_log.requests["ocr"] == asked

    await _wait_for_closed_circuit(engine)
    conversion = await engine.convert(make_source(ONE_PAGE))
    assert mark(ONE_PAGE, 0) in conversion.pages[0]
    assert engine.problem is None


async def test_concurrent_calls_are_limited(
    open_engine: OpenEngine, fake: FakeMistral, make_source: MakeSource
) -> None:
    fake.rules.latency = 0.05
    async with open_engine(max_concurrent_calls=3) as mistral:
        pdfs = [documents.pdf(f"Number {number}") for number in range(12)]
        await asyncio.gather(*(mistral.engine.convert(make_source(pdf)) for pdf in pdfs))
    assert fake.call_log.highest_concurrency <= 3


async def test_long_documents_do_not_take_all_slots(
    open_engine: OpenEngine,
    fake: FakeMistral,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ilios.engines.mistral.calls.MAX_CONCURRENT_LARGE_CALLS", 2)
    fake.rules.latency = 0.2
    long = [documents.pdf(*(f"{n} {page}\n" + "x" * 9000 for page in range(20))) for n in range(6)]
    async with open_engine(max_concurrent_calls=8) as mistral:
        reading = [asyncio.create_task(mistral.engine.convert(make_source(pdf))) for pdf in long]
        await wait_until(lambda: fake.call_log.in_hand == 2)
        await mistral.engine.convert(make_source(ONE_PAGE))
        assert not any(task.done() and task.exception() for task in reading)
        await asyncio.gather(*reading)
    assert fake.call_log.highest_concurrency <= 3


async def test_pages_per_minute_are_limited(
    open_engine: OpenEngine,
    fake: FakeMistral,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ilios.engines.mistral.calls.MINUTE", 1.0)
    fake.rules.pages_per_minute, fake.rules.minute = 10, 1.0
    async with open_engine(pages_per_minute=5) as mistral:
        for number in range(8):
            await mistral.engine.convert(make_source(documents.pdf(f"Number {number}")))
    assert all(call.status == 200 for call in fake.call_log.calls)


async def _wait_for_closed_circuit(engine: MistralEngine) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                engine._breaker.before_call()
            except EngineUnavailable as error:
                await asyncio.sleep(error.retry_after / 4)
            else:
                return
