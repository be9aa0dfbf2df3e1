"""Answers of a compromised child: they fail its document, and harm no other."""

import asyncio
import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.engines import EngineCrashed, SourceFile, Unconvertible
from ilios.engines.local import answer_checks
from ilios.engines.local.answer_checks import AnswerChecker, ImplausibleAnswer
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import MIB, EngineLimits
from ilios.engines.local.protocol import (
    HEADER_BYTES,
    BadFrame,
    Converted,
    CountPages,
    CutPages,
    ToMarkdown,
    Wear,
    read_answer,
)
from ilios.engines.pages import Portion
from tests import documents
from tests.conversions import markdown_pages
from tests.ilios.engines.conftest import PlaceDocument

ONE = EngineLimits(processes=1)
LITTLE_OUTPUT = EngineLimits(processes=1, max_output_bytes=MIB)
WEAR = {"resident_bytes": 1, "cramped": False}


def page(text: str, index: int = 0, **members: object) -> dict[str, object]:
    """Return a page of the answer of a child."""
    return {"result": {"index": index, "markdown": text, **members}}


CONVERTED = {"type": "Converted", "pages": [page("text")], "model": "liteparse-2.18", "wear": WEAR}
REFUSED = {"type": "Refused", "code": "corrupt", "reason": "It is damaged.", "wear": WEAR}
HELD_FOR = 5.0
"""Seconds: the longest that a child that floods the engine may hold its loop on a busy machine."""

TAKEN_OVER = """
import os, pathlib
from ilios.engines.local import child
from ilios.engines.local import protocol
def take_over():
    mark = pathlib.Path({mark!r})
    if not mark.exists():
        mark.touch()
        frames = pathlib.Path({frames!r}).read_bytes()
        def work(request, limits, answers):
            child.write_answer(answers, protocol.Started())
            data = frames
            while data:
                data = data[os.write(answers, data):]
                if not data and {endless}:
                    data = frames
            os.read(0, 1) or os._exit(0)
        child._serve = work
take_over()
child.main()
"""
"""The first child sends prepared frames; later ones are normal."""

PRINTS = """
import os
from ilios.engines.local import child
def work(request, limits, answers):
    while True:
        os.write(2, bytes(65536))
child._serve = work
child.main()
"""

ANSWERS_TWICE = """
from ilios.engines.local import child
serve = child._serve
def work(request, limits, answers):
    answer = serve(request, limits, answers)
    child.write_answer(answers, answer)
    return answer
child._serve = work
child.main()
"""


def framed(*answers: Any) -> bytes:
    bodies = [
        given if isinstance(given, bytes) else msgspec.msgpack.encode(given) for given in answers
    ]
    return b"".join(len(body).to_bytes(HEADER_BYTES, "big") + body for body in bodies)


def impersonate(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Make children run this code instead of their main."""
    (folder / "code.py").write_text(code)
    interpreter = folder / "python"
    interpreter.write_text(f'#!/bin/sh\nshift 3\nexec {sys.executable} -P {folder}/code.py "$@"\n')
    interpreter.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(interpreter))


@pytest.fixture
def take_over_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a function by which the first child sends frames that a test chooses."""

    def take(frames: bytes, *, endless: bool = False) -> None:
        folder = tmp_path / "impersonation"
        folder.mkdir()
        (folder / "frames").write_bytes(frames)
        code = TAKEN_OVER.format(
            mark=str(folder / "mark"), frames=str(folder / "frames"), endless=endless
        )
        # It shuts itself in late: these files are read, and the mark is made, before.
        impersonate(monkeypatch, folder, code)

    return take


def one_page(place_document: PlaceDocument, content_type: str = documents.PDF) -> SourceFile:
    if content_type == documents.DOCX:
        return place_document(documents.docx(documents.paragraph("A short text.")), content_type)
    return place_document(documents.pdf("A short text."), content_type)


def nested(depth: int) -> bytes:
    return b"\x81\xa4type" + b"\x91" * depth + b"\xc0"


IMPLAUSIBLE: dict[str, Any] = {
    "pages": CONVERTED | {"pages": [page("")] * 99_999},
    "more-pages": CONVERTED | {"pages": [page("")] * 1_000_001},
    "no-page": CONVERTED | {"pages": []},
    "text": CONVERTED | {"pages": [page("x" * 2 * MIB)]},
    "header": CONVERTED | {"pages": [page("x", header="x" * 2 * MIB)]},
    "headings": CONVERTED | {"pages": [page("x", headings=[{"level": 1, "text": "x" * 2 * MIB}])]},
    "link": CONVERTED | {"pages": [page("x", hyperlinks=["x" * 20_000])]},
    "long-model": CONVERTED | {"model": "m" * 1_500_000},
    "model": CONVERTED | {"model": "Evil Model\n"},
    "wear": CONVERTED | {"wear": {"resident_bytes": -1, "cramped": False}},
    "warning": CONVERTED | {"pages": [page("x", warnings=[{"code": "pay_here", "message": "!"}])]},
    "long-code": REFUSED | {"code": "c" * 1_500_000},
    "code": REFUSED | {"code": "gave_up"},
    "reason": REFUSED | {"reason": "r" * 1_500_000},
    "counted": {"type": "Counted", "pages": 1, "wear": WEAR},
    "cut": {"type": "Cut", "data": b"%PDF", "wear": WEAR},
    "ready": {"type": "Ready", "exposed": []},
    "progress": {"type": "Progress", "done": -1, "total": 2**63},
    "broken": {"type": "Broken", "detail": "d" * 1_500_000, "full": True},
    "empty": b"",
    "bytes": b"\xff" * 100,
    "utf-8": b"\x81\xa4type\xa9Conv\xff\xfe\xfd\xfc\xfb",
    "nested": nested(100_000),
    "type": msgspec.msgpack.encode({"type": ["Converted"]}),
}


@pytest.mark.parametrize("name", IMPLAUSIBLE)
async def test_an_implausible_answer_is_refused(name: str) -> None:
    checker = AnswerChecker(ToMarkdown(), documents.PDF, 600, LITTLE_OUTPUT)
    pipe = asyncio.StreamReader()
    pipe.feed_data(framed(IMPLAUSIBLE[name]))
    with pytest.raises((BadFrame, ImplausibleAnswer), match=r"^.{1,600}$"):
        checker.check(await read_answer(pipe, 64 * MIB))


@pytest.mark.parametrize("name", ["text", "code", "ready", "empty", "nested", "pages"])
async def test_an_implausible_answer_costs_the_child_and_not_the_document(
    place_document: PlaceDocument, take_over_child: Any, name: str
) -> None:
    take_over_child(framed(IMPLAUSIBLE[name]))
    async with LocalEngine(LITTLE_OUTPUT) as engine:
        with pytest.raises(EngineCrashed, match=r"the conversion process sent .{1,600}$") as caught:
            await engine.convert(one_page(place_document))
        assert (caught.value.document_blamed, caught.value.disk_full) == (True, False)
        conversion = await engine.convert(one_page(place_document))
    assert conversion.pages == ("A short text.",)


async def test_a_document_of_one_page_is_never_two(
    place_document: PlaceDocument, take_over_child: Any
) -> None:
    take_over_child(framed(CONVERTED | {"pages": [page("one"), page("two")]}))
    async with LocalEngine(ONE) as engine:
        with pytest.raises(EngineCrashed, match="2 pages"):
            await engine.convert(one_page(place_document, documents.DOCX))


async def test_no_more_pages_are_accepted_than_allowed(
    place_document: PlaceDocument, take_over_child: Any
) -> None:
    take_over_child(framed(CONVERTED | {"pages": [page("x")] * 11}))
    async with LocalEngine(EngineLimits(processes=1, max_pages=10)) as engine:
        with pytest.raises(EngineCrashed, match="11 pages"):
            await engine.convert(one_page(place_document))


@pytest.mark.parametrize(
    "claim",
    [
        {"pages": [page("x", 7)]},
        {"pages": [page("x", 0), page("y", 0)]},
        {"pages": [page("x", 0), page("y", 2)], "total": 9},
        {"pages": [page("x", 0), page("y", 1)], "total": 1},
        {"total": 1_000_000},
        {"total": 0},
    ],
    ids=["other", "twice", "gap", "more-than-all", "total", "none"],
)
async def test_pages_are_the_next_ones(
    place_document: PlaceDocument, take_over_child: Any, claim: dict[str, Any]
) -> None:
    take_over_child(framed(CONVERTED | claim))
    async with LocalEngine(ONE) as engine:
        with pytest.raises(EngineCrashed, match="pages") as caught:
            await engine.convert(one_page(place_document))
        assert caught.value.document_blamed
        assert (await engine.convert(one_page(place_document))).pages == ("A short text.",)


@pytest.mark.parametrize(
    ("index", "total", "count"), [(0, 300, 1), (250, 299, 1), (250, 300, 11), (251, 300, 1)]
)
def test_a_later_portion_continues_the_former_ones(index: int, total: int, count: int) -> None:
    task = ToMarkdown(portion=Portion(250, 10), total=300)
    pages = markdown_pages(range(index, index + count), ["x"] * count)
    checker = AnswerChecker(task, documents.PDF, 100_000, ONE)
    with pytest.raises(ImplausibleAnswer):
        checker.check(Converted(tuple(pages), "m", Wear(1, cramped=False), total))
    checker.check(Converted(tuple(markdown_pages([250], ["x"])), "m", Wear(1, cramped=False), 300))


async def test_a_doubtful_number_of_pages_is_counted_by_another_child(
    place_document: PlaceDocument, take_over_child: Any
) -> None:
    take_over_child(framed(CONVERTED | {"pages": [page("x", number) for number in range(50)]}))
    document = one_page(place_document)
    async with LocalEngine(ONE) as engine:
        with pytest.raises(EngineCrashed, match="claimed 50 pages of 1") as caught:
            await engine.convert(document)
        assert caught.value.document_blamed
        assert (await engine.convert(document)).pages == ("A short text.",)


async def test_many_small_pages_are_converted_if_they_exist(place_document: PlaceDocument) -> None:
    blank = documents.pdf(*[""] * 60)
    many = documents.pdf(*["x"] * answer_checks.COUNTED_ALWAYS)
    async with LocalEngine(ONE) as engine:
        for data, count in ((blank, 60), (many, answer_checks.COUNTED_ALWAYS)):
            conversion = await engine.convert(place_document(data, documents.PDF))
            assert len(conversion.pages) == count
        assert len(engine.child_pids) <= 2  # the one that counted may not be buried yet


@pytest.mark.parametrize("seconds", [1e306, float("nan"), -1.0, "long"])
async def test_the_time_a_document_took_is_measured_by_the_engine(
    place_document: PlaceDocument, take_over_child: Any, seconds: object
) -> None:
    others = {"seconds": seconds, "tenant": "other", "document_id": "another"}
    take_over_child(framed(CONVERTED | others))
    began = time.monotonic()
    async with LocalEngine(ONE) as engine:
        conversion = await engine.convert(one_page(place_document))
    assert conversion.pages == ("text",)
    assert 0 < conversion.seconds < time.monotonic() - began


async def test_a_full_volume_is_verified_by_the_engine(
    place_document: PlaceDocument, take_over_child: Any
) -> None:
    take_over_child(framed({"type": "Broken", "detail": "OSError: no space", "full": True}))
    async with LocalEngine(ONE) as engine:
        with pytest.raises(EngineCrashed, match="no space") as caught:
            await engine.convert(one_page(place_document))
        assert (caught.value.document_blamed, caught.value.disk_full) == (False, False)


def test_a_document_larger_than_the_volume_is_not_retried(tmp_path: Path) -> None:
    volume = os.statvfs(tmp_path)
    total = volume.f_blocks * volume.f_frsize
    assert answer_checks.is_full(
        tmp_path, (total - answer_checks.WORKSPACE_BYTES) // 2
    )  # for all there is of it
    assert not answer_checks.is_full(tmp_path, total)
    assert not answer_checks.is_full(tmp_path, 0)
    assert not answer_checks.is_full(tmp_path / "gone", 0)


async def test_a_flood_of_messages_ends_the_child_and_does_not_block_the_loop(
    place_document: PlaceDocument, take_over_child: Any
) -> None:
    take_over_child(framed(*[{"type": "Progress", "done": 0, "total": 1}] * 1000), endless=True)
    reported = 0
    longest = 0.0

    def count(_done: int, _total: int) -> None:
        nonlocal reported
        reported += 1

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - before)

    async with LocalEngine(ONE) as engine:
        await engine.check()
        ticking = asyncio.create_task(tick())
        with pytest.raises(EngineCrashed, match="messages in") as caught:
            await engine.convert(one_page(place_document), count)
        ticking.cancel()
        assert caught.value.document_blamed
        assert (await engine.convert(one_page(place_document))).pages == ("A short text.",)
    assert reported <= answer_checks.MESSAGE_BURST + answer_checks.MESSAGES_PER_SECOND * 60
    assert longest < HELD_FOR


async def test_an_unrequested_answer_is_not_used_for_the_next_document(
    place_document: PlaceDocument, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    impersonate(monkeypatch, tmp_path, ANSWERS_TWICE)
    async with LocalEngine(ONE) as engine:
        for text in ("Of one tenant.", "Of another tenant."):
            document = place_document(documents.pdf(text), documents.PDF)
            assert (await engine.convert(document)).pages == (text,)


async def test_a_child_with_endless_output_is_killed(
    place_document: PlaceDocument, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    impersonate(monkeypatch, tmp_path, PRINTS)
    async with LocalEngine(ONE) as engine:
        with pytest.raises(EngineCrashed, match="printed") as caught:
            await engine.convert(one_page(place_document))
    assert caught.value.document_blamed


def members() -> st.SearchStrategy[dict[str, Any]]:
    """Yield frames that are nearly valid, and some that are not."""
    odd = st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(),
        st.binary(), st.lists(st.text(), max_size=5),
    )  # fmt: skip
    names = ["pages", "model", "wear", "code", "reason", "detail", "full", "done", "total", "data"]
    kinds = ["Converted", "Refused", "Broken", "Progress", "Started", "Counted", "Cut", "Ready"]
    usual = st.sampled_from([CONVERTED, REFUSED, {}, {"type": "Counted", "pages": 3, "wear": WEAR}])
    changed = st.dictionaries(st.sampled_from(names), odd, max_size=3)
    kind = st.fixed_dictionaries({}, optional={"type": st.one_of(st.sampled_from(kinds), odd)})
    return st.builds(lambda one, two, three: one | two | three, usual, changed, kind)


@settings(max_examples=200, deadline=None)
@given(
    body=st.one_of(st.binary(max_size=200), members().map(msgspec.msgpack.encode)),
    task=st.sampled_from([ToMarkdown(), CountPages(), CutPages((0,))]),
)
def test_any_frame_of_a_child_is_a_bounded_answer_or_refused(body: bytes, task: Any) -> None:
    async def read() -> None:
        pipe = asyncio.StreamReader()
        pipe.feed_data(framed(body))
        pipe.feed_eof()
        answer = await read_answer(pipe, 1024)
        AnswerChecker(task, documents.PDF, 600, ONE).check(answer)
        encoded = msgspec.msgpack.encode(answer)
        assert len(encoded) <= 1200

    with contextlib.suppress(BadFrame, ImplausibleAnswer):
        asyncio.run(read())


async def test_a_refusal_has_a_code_and_a_sentence(
    place_document: PlaceDocument, take_over_child: Any
) -> None:
    take_over_child(framed(REFUSED | {"reason": "It is\n\x1b[2Jdamaged."}))
    async with LocalEngine(ONE) as engine:
        with pytest.raises(Unconvertible, match=r"It is  \[2Jdamaged\.") as caught:
            await engine.convert(one_page(place_document))
    assert caught.value.code == "corrupt"
