"""From a clean clone to the first converted document: seconds and megabytes."""

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import aiohttp

from ilios.runtime.child_signals import send_signal

ROOT = Path(__file__).parents[1]
SAMPLE = "ilios/samples/hello.pdf"
IDLE_AFTER = 5.0  # seconds


async def measure() -> None:
    """Clone the last commit, run ``make serve`` there, convert the sample, and measure the disk."""
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        clone = Path(name) / "ilios"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)  # noqa: ASYNC221
        environ = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", name)}
        began = time.monotonic()
        install = await asyncio.create_subprocess_exec(
            "make", "install", cwd=clone, env=environ, stdout=asyncio.subprocess.DEVNULL
        )
        if await install.wait():
            raise SystemExit("make install has failed")
        installed = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            "make",
            "serve",
            cwd=clone,
            env=environ | {"PORT": "0", "ILIOS_NATS_PORT": "0"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            url = await _url(process)
            await _convert(url, clone / SAMPLE)
            converted = time.monotonic()
            await asyncio.sleep(IDLE_AFTER)
            data = _megabytes(clone / "data")
        finally:
            send_signal(process, signal.SIGTERM)
            await process.wait()
        size = _megabytes(clone / ".venv")
    print(f"make install                 {installed - began:.0f} s")
    print(f"from there to the document   {converted - installed:.1f} s")
    print(f"installed                    {size:.0f} MB")
    print(f"data after one document      {data:.1f} MB")


async def _url(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async for line in process.stdout:
        if line.split()[:1] == [b"HTTP"]:
            return line.split()[1].decode()
    raise SystemExit("make serve has ended")


async def _convert(url: str, sample: Path) -> None:
    form = aiohttp.FormData()
    form.add_field("file", sample.read_bytes(), filename=sample.name)
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/convert", data=form) as answer,
    ):
        answer.raise_for_status()
        await answer.read()


def _megabytes(directory: Path) -> float:
    """Return what ``du`` counts: blocks, and hard links once."""
    listing = subprocess.run(
        ["du", "-sk", str(directory)], capture_output=True, text=True, check=True
    )
    return int(listing.stdout.split()[0]) / 1024
