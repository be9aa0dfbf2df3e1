"""What the service logs: a line of JSON for machines, nothing that is nobody's business."""

import asyncio
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from ilios import logs

ROOT = Path(__file__).parents[2]
SECRET = "canary-in-a-local-variable"
PROGRAM = f"""
import logging
import sys
import structlog
from ilios import logs

def fails(password):
    raise ValueError("what went wrong \\x1b[2J \\x9b")

logs.set_up("info", sys.argv[1])
log = structlog.get_logger("test")
try:
    fails("".join({list(SECRET)!r}))
except ValueError:
    log.exception("it failed", document_id="m1")
log.debug("not to be seen")
log.warning("line one\\nline two", odd=object, red="\\x1b[31m", many=["\\x9b"], turned="\\u202e")
logging.getLogger("library").warning("a library: \\x1b[31m")
"""


def logged(form: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, form], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_has_no_local_variables(form: str) -> None:
    output = logged(form)
    assert "what went wrong" in output
    assert "fails" in output
    assert SECRET not in output


def test_every_line_is_an_object_that_begins_with_time_level_and_event() -> None:
    ours = (line for line in logged("json").splitlines() if not line.startswith("library"))
    lines = [msgspec.json.decode(line) for line in ours]
    assert [line["event"] for line in lines] == ["it failed", "line one\nline two"]
    assert all(list(line)[:3] == ["timestamp", "level", "event"] for line in lines)
    assert lines[0]["document_id"] == "m1"


def test_control_sequences_are_not_written_to_the_terminal() -> None:
    output = logged("console")
    assert r"line one\nline two" in output
    assert r"\x1b[31m" in output
    assert output.count("\x1b[2J") == output.count("\x9b") == output.count("\u202e") == 0
    assert r"library: a library: \x1b[31m" in output
    assert "Traceback" in output
    assert len(output.splitlines()) > 5, "a traceback has lines"


async def test_only_cancelled_background_errors_are_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.get_running_loop()
    logs.handle_loop_exception(
        loop, {"message": "forgotten", "exception": asyncio.CancelledError()}
    )
    assert not caplog.records
    logs.handle_loop_exception(
        loop, {"message": "never retrieved", "exception": ValueError("seven")}
    )
    assert "never retrieved" in caplog.text
