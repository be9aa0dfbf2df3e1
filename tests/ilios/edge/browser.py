"""A real browser for tests, where one is installed."""

import asyncio
import shutil
from pathlib import Path

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
CALM = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--enable-logging=stderr",
    "--virtual-time-budget=20000",
)
"""Options with which it connects to no other host, and prints its console on stderr."""


async def open_page(address: str, profile: Path) -> tuple[str, str]:
    """Return the document of a page after its scripts, and what the browser printed on stderr.

    ``profile`` is a directory for the files of the browser.
    """
    browser = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *CALM,
        f"--user-data-dir={profile}",
        "--dump-dom",
        address,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(90):
            shown, complaints = await browser.communicate()
    finally:
        if browser.returncode is None:
            browser.kill()
            await browser.wait()
    return shown.decode(), complaints.decode()
