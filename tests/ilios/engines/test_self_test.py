"""The filter of system calls on a machine on which nobody has recorded what converters call."""

import asyncio
import sys
from pathlib import Path

import pytest
import structlog

from ilios.cli import check
from ilios.engines import sandbox, self_test
from ilios.engines.limits import EngineLimits
from ilios.engines.local import LocalEngine
from ilios.engines.process import NotStarting
from tests import documents
from tests.ilios.engines.conftest import Placed

NARROWER = """
import msgspec
from ilios.engines import child, profiles
verdicts = profiles.CONVERTER.verdicts | {"socketpair": "refuse"}
profiles.BY_NAME["converter"] = msgspec.structs.replace(profiles.CONVERTER, verdicts=verdicts)
child.main()
"""
"""A filter under which the layout of PDFs is lost in silence."""

pytestmark = pytest.mark.skipif(
    bool(sandbox.missing()), reason="; ".join(sandbox.missing()) or "all there"
)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test, "is_recorded", lambda: False)


@pytest.fixture
def narrower(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(self_test, "SAMPLES", self_test.SAMPLES[:1])
    (tmp_path / "code.py").write_text(NARROWER)
    interpreter = tmp_path / "python"
    interpreter.write_text(
        f'#!/bin/sh\nshift 3\nexec {sys.executable} -P {tmp_path}/code.py "$@"\n'
    )
    interpreter.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(interpreter))


async def test_the_samples_are_tried_before_the_first_document(placed: Placed) -> None:
    document = placed(documents.pdf("A short text."), documents.PDF)
    async with LocalEngine(EngineLimits(processes=2, sandbox="strict")) as engine:
        both = await asyncio.gather(engine.convert(document), engine.convert(document))
        assert engine.exposed == ()
    assert [conversion.pages for conversion in both] == [("A short text.",)] * 2


@pytest.mark.usefixtures("narrower")
async def test_where_converters_do_not_work_the_wide_filter_holds_with_a_warning(
    placed: Placed,
) -> None:
    document = placed(documents.pdf("A short text."), documents.PDF)
    with structlog.testing.capture_logs() as logged:
        async with LocalEngine(EngineLimits(processes=1)) as engine:
            await engine.convert(document)
            (pid,) = engine.child_pids
            assert "Seccomp:\t2" in Path(f"/proc/{pid}/status").read_text()
    warned = [line["what"] for line in logged if line["event"] == "engine.exposed"]
    assert warned == [sandbox.WIDE_CALLS]
    (failed,) = (line for line in logged if line["event"] == "engine.self_test_failed")
    assert failed["reason"].startswith("hello.pdf: ")


@pytest.mark.usefixtures("narrower")
async def test_where_the_sandbox_is_strict_nothing_is_converted_then() -> None:
    async with LocalEngine(EngineLimits(processes=1, sandbox="strict")) as engine:
        with pytest.raises(NotStarting, match="do not work under the filter"):
            await engine.check()


async def test_samples_that_fail_under_both_filters_are_no_fault_of_the_filter(
    placed: Placed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_test, "SAMPLES", (("gone.pdf", documents.PDF, "text"),))
    document = placed(documents.pdf("A short text."), documents.PDF)
    async with LocalEngine(EngineLimits(processes=1, sandbox="strict")) as engine:
        await engine.convert(document)
        assert engine.exposed == ()


@pytest.mark.usefixtures("narrower")
def test_ilios_check_warns_of_the_wide_filter(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ILIOS_INSECURE", "true")
    check.run(None)  # type: ignore[arg-type]
    assert sandbox.WIDE_CALLS in capsys.readouterr().err
