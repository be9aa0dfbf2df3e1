"""Another build of the service: an earlier commit, installed with its own lock."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ilios.chaos.processes import ROOT


@asynccontextmanager
async def build_of(version: str) -> AsyncIterator[Path]:
    """Yield a checkout with its ``.venv``: a directory that has one, or a commit.

    Of a commit a git worktree is made in a temporary directory, and removed in the end.

    :raises RuntimeError: git or make fails, and has printed why.
    """
    if (Path(version) / ".venv").is_dir():
        yield Path(version).resolve()
        return
    with tempfile.TemporaryDirectory(prefix="ilios-bench-build-") as name:
        checkout = Path(name, "before")
        await _run("git", "-C", str(ROOT), "worktree", "add", "--quiet", "--detach",
                   str(checkout), version)  # fmt: skip
        try:
            await _run("make", "-s", "-C", str(checkout), "install")
            yield checkout
        finally:
            await _run("git", "-C", str(ROOT), "worktree", "remove", "--force", str(checkout))


async def _run(*command: str) -> None:
    # Variables of a make that runs this measurement are not meant for the other checkout's.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    process = await asyncio.create_subprocess_exec(*command, env=environ)
    if code := await process.wait():
        raise RuntimeError(f"{' '.join(command)} ended with code {code}")
