"""Commands of the command line, run beside a service."""

import asyncio
import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from bus.failpoints import Failpoint
from ilios.__main__ import main
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


def run_here(*arguments: str, stdin: bytes = b"", **environ: str) -> CommandResult:
    """Run ``ilios`` in this process, with nothing else in its environment.

    For tests of many command lines: starting Python for each takes longer than most commands do.
    """
    out, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    variables = {"PATH": os.environ["PATH"], **environ}
    with (
        redirect_stdout(out),
        redirect_stderr(errors),
        patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8")),
        patch.dict(os.environ, variables, clear=True),
    ):
        try:
            code = main([*arguments])
        except SystemExit as exit_:  # argparse prints what is wrong and exits
            code = int(exit_.code or 0)
    return CommandResult(code, *(_written(one) for one in (out, errors)))


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()
