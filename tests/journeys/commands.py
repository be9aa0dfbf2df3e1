"""Commands of the command line, run beside a service."""

import asyncio
import os
import sys
from pathlib import Path
from typing import NamedTuple

from bus.failpoints import Failpoint
from tests.journeys.running import PYTHON_PATH

ENDED_WITHIN = 60.0  # seconds


class CommandResult(NamedTuple):
    """The exit code and the output of a command."""

    code: int
    out: str
    errors: str


async def run_ilios(
    data_dir: Path, *arguments: str, armed: Failpoint | None = None, **environ: str
) -> CommandResult:
    """Run ``ilios`` for this data directory; it is killed when it reaches ``armed``."""
    module = ("ilios",) if armed is None else ("tests.journeys.armed", f"{armed}:1")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *module,
        *arguments,
        cwd="/",
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": PYTHON_PATH,
            "ILIOS_DATA_DIR": str(data_dir),
            "ILIOS_NATS_PORT": "0",
            **environ,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(ENDED_WITHIN):
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return CommandResult(process.returncode, out.decode(), errors.decode())
