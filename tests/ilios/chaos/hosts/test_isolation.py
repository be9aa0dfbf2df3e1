"""A client of a node that is cut off from the others goes to one of them; needs root."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from ilios.chaos.processes import ROOT

WITHIN = 10.0  # seconds: less than it takes the node itself to give up


@pytest.mark.slow
async def test_a_client_of_an_isolated_node_publishes_to_another_one(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.ilios.chaos.hosts.isolated_client", str(tmp_path)),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    if not output:
        pytest.skip("this user may not make network namespaces")
    assert float(output.splitlines()[-1]) < WITHIN
