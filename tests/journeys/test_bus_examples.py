"""The examples of docs/bus.md work as they stand there, each with its own client."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
import pytest_asyncio

from ilios.chaos.processes import ROOT
from tests import documents
from tests.journeys.running import DEFAULTS, running_service

JAVASCRIPT = os.environ.get("NATS_JS_CLIENT", "")
"""A directory in whose ``node_modules`` the packages of the JavaScript client are installed."""
COMPLETED = r"document\.completed/1"
EXPECTED = {
    "request": "An example",
    "submit": COMPLETED,
    "batch": r"batch\.completed/1",
    "large": COMPLETED,
    "dead": r"ilios\.dead\.submitted\.default\.m0dead",
}
DEAD = "m0dead0000000000000000000"
WITHIN = 120  # seconds
_BLOCK = re.compile(
    r"^```(?:python|javascript|sh)\n(?:#|//) ((\w+)\.(?:py|mjs|sh))\n(.*?)^```$",
    re.MULTILINE | re.DOTALL,
)

EXAMPLES = {name: body for name, _, body in _BLOCK.findall((ROOT / "docs" / "bus.md").read_text())}


def test_there_is_an_example_of_each_task_for_each_client() -> None:
    assert set(EXAMPLES) == {f"{task}.{kind}" for task in EXPECTED for kind in ("py", "mjs", "sh")}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def directory(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """A directory with a running service in ``data``, a file, and contexts of the command."""
    path = tmp_path_factory.mktemp("examples")
    (path / "report.pdf").write_bytes(documents.pdf("An example"))
    if JAVASCRIPT:
        (path / "node_modules").symlink_to(Path(JAVASCRIPT) / "node_modules")
    async with running_service(path / "data", ILIOS_EDGE_PROCESSES="0"):
        for arguments in ((), ("--tenant", "default")):
            await asyncio.to_thread(_run, [*ILIOS, "bus", "context", *arguments], path)
        client = await nats.connect((path / "data/nats/publisher.url").read_text().strip())
        ended = await client.subscribe(f"ilios.document.rejected.*.default.{DEAD}")
        await client.flush()  # or it could be rejected before anybody is subscribed
        await client.jetstream().publish(f"ilios.document.submitted.p05.default.{DEAD}", b"{}")
        await ended.next_msg(timeout=30)
        await client.close()
        yield path


ILIOS = [sys.executable, "-m", "ilios"]


def _run(command: list[str], directory: Path) -> str:
    """Run a program and return what it prints; a test fails with it when the program fails."""
    environ = {
        **os.environ,
        "PYTHONPATH": DEFAULTS["PYTHONPATH"],
        "ILIOS_DATA_DIR": str(directory / "data"),
        "XDG_CONFIG_HOME": str(directory / "config"),
    }
    done = subprocess.run(
        command,
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def interpreter(name: str) -> list[str]:
    """Return the command that runs an example; without its client the test is skipped."""
    match Path(name).suffix:
        case ".py":
            return [sys.executable]
        case ".mjs":
            node = shutil.which("node")
            if not (JAVASCRIPT and node):
                pytest.skip("NATS_JS_CLIENT names no directory with the packages of @nats-io")
            return [node]
        case _:
            if shutil.which("nats") is None:
                pytest.skip("the nats command is not installed")
            return ["sh", "-eu"]


@pytest.mark.parametrize("name", EXAMPLES)
async def test_an_example_works_as_it_stands(directory: Path, name: str) -> None:
    command = interpreter(name)
    (directory / name).write_text(EXAMPLES[name])
    printed = await asyncio.to_thread(_run, [*command, name], directory)
    assert re.search(EXPECTED[Path(name).stem], printed), printed
