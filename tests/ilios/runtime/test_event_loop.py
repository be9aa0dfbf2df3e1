"""The event loop of the service, with and without uvloop."""

import asyncio
import subprocess
import sys

import pytest

from ilios.runtime import event_loop


async def _module_of_the_loop() -> str:
    await asyncio.sleep(0)
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_the_service_runs_on_uvloop_where_it_is_installed() -> None:
    pytest.importorskip("uvloop", reason="there are no wheels for this platform")
    assert event_loop.NAME == "uvloop"
    assert event_loop.run(_module_of_the_loop()) == "uvloop"


def test_the_service_runs_on_asyncio_without_uvloop() -> None:
    program = (
        "import asyncio, sys\n"
        "sys.modules['uvloop'] = None\n"  # an import of it fails
        "from ilios.runtime import event_loop\n"
        "print(event_loop.NAME, event_loop.run(asyncio.sleep(0, 'done')))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert ran.stdout.split() == [b"asyncio", b"done"]
