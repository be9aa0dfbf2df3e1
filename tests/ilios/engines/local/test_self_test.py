"""The self-test of the system call profile on a machine where it was not recorded."""

import asyncio
import sys
from pathlib import Path

import pytest
import structlog

from ilios.cli import check
from ilios.engines.local import self_test
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.process import StartFailed
from ilios.engines.sandbox import enter
from tests import documents
from tests.ilios.engines.conftest import PlaceDocument

NARROWER = """
import msgspec
from ilios.engines.local import child
from ilios.engines.sandbox import profiles
actions = profiles.CONVERTER.actions | {"socketpair": "refuse"}
profiles.BY_NAME["converter"] = msgspec.structs.replace(profiles.CONVERTER, actions=actions)
child.main()
"""
"""A filter under which PDFs lose their layout without an error."""

pytestmark = pytest.mark.skipif(
    bool(enter.missing_features()), reason="; ".join(enter.missing_features()) or "all there"
)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test, "is_recorded", lambda: False)


@pytest.fixture
def narrower_filter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(self_test, "SAMPLES", self_test.SAMPLES[:1])
    (tmp_path / "code.py").write_text(NARROWER)
    interpreter = tmp_path / "python"
    interpreter.write_text(
        f'#!/bin/sh\nshift 3\nexec {sys.executable} -P {tmp_path}/code.py "$@"\n'
    )
    interpreter.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(interpreter))


async def test_the_samples_are_converted_before_the_first_document(
    place_document: PlaceDocument,
) -> None:
    document = place_document(documents.pdf("A short text."), documents.PDF)
    async with LocalEngine(EngineLimits(processes=2, sandbox="strict")) as engine:
        both = await asyncio.gather(engine.convert(document), engine.convert(document))
        assert engine.sandbox_gaps == ()
    assert [conversion.pages for conversion in both] == [("A short text.",)] * 2


@pytest.mark.usefixtures("narrower_filter")
async def test_if_the_narrow_filter_fails_the_wide_one_is_used_with_a_warning(
    place_document: PlaceDocument,
) -> None:
    document = place_document(documents.pdf("A short text."), documents.PDF)
    with structlog.testing.capture_logs() as logged:
        async with LocalEngine(EngineLimits(processes=1)) as engine:
            await engine.convert(document)
            (pid,) = engine.child_pids
            assert "Seccomp:\t2" in Path(f"/proc/{pid}/status").read_text()
    warned = [line["what"] for line in logged if line["event"] == "sandbox incomplete"]
    assert warned == [enter.WIDE_FILTER]
    (failed,) = (line for line in logged if line["event"] == "self-test failed")
    assert failed["reason"].startswith("hello.pdf: ")


@pytest.mark.usefixtures("narrower_filter")
async def test_if_the_narrow_filter_fails_a_strict_sandbox_converts_nothing() -> None:
    async with LocalEngine(EngineLimits(processes=1, sandbox="strict")) as engine:
        with pytest.raises(StartFailed, match="do not work under the filter"):
            await engine.check()


async def test_if_the_samples_fail_under_both_filters_the_narrow_one_is_used(
    place_document: PlaceDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_test, "SAMPLES", (("gone.pdf", documents.PDF, "text"),))
    document = place_document(documents.pdf("A short text."), documents.PDF)
    async with LocalEngine(EngineLimits(processes=1, sandbox="strict")) as engine:
        await engine.convert(document)
        assert engine.sandbox_gaps == ()


@pytest.mark.usefixtures("narrower_filter")
def test_ilios_check_warns_of_the_wide_filter(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ILIOS_INSECURE", "true")
    check.run(None)  # type: ignore[arg-type]
    assert enter.WIDE_FILTER in capsys.readouterr().err
