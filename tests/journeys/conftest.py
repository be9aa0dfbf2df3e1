"""Data directories that many journeys start from: made once for a run of tests, then copied."""

import asyncio
import fcntl
import os
import shutil
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import documents
from tests.journeys.running import DEFAULTS, running_service
from tests.journeys.service_client import Client

PAGES = 6
CopyOnce = Callable[[str, Callable[[Path], Coroutine[Any, Any, None]], Path], None]


@pytest.fixture
def edge_in_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the edge in the core, as on a machine with one core: a process less for each start.

    For journeys about the log, the database and engines; those about the edge have it outside.
    """
    monkeypatch.setitem(DEFAULTS, "ILIOS_EDGE_PROCESSES", "0")


@pytest.fixture
def copy_once(tmp_path_factory: pytest.TempPathFactory) -> CopyOnce:
    """Return a function that copies a directory, which it makes when no worker has made it yet."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def copy(name: str, make: Callable[[Path], Coroutine[Any, Any, None]], target: Path) -> None:
        made = root / f"once-{name}"
        with (root / f"{made.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                unfinished = made.with_suffix(".unfinished")
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir(mode=0o700)
                # In a thread, because the loop of this one belongs to the tests.
                with ThreadPoolExecutor(1) as thread:
                    thread.submit(asyncio.run, make(unfinished)).result()
                unfinished.rename(made)
        shutil.copytree(made, target, dirs_exist_ok=True)

    return copy


@pytest.fixture
def completed(copy_once: CopyOnce, tmp_path: Path) -> str:
    """Fill ``tmp_path`` with the data of a stopped service; return the id of its document."""
    copy_once("completed", _complete_one, tmp_path)
    return _identifiers(tmp_path)[0]


@pytest.fixture
def six_completed(copy_once: CopyOnce, tmp_path: Path) -> list[str]:
    """Fill ``tmp_path`` with the data of a stopped service; return the ids of its documents."""
    copy_once("six-completed", _complete_six, tmp_path)
    return _identifiers(tmp_path)


async def _complete_one(data: Path) -> None:
    await _complete(data, "Meridian")


async def _complete_six(data: Path) -> None:
    await _complete(data, *(f"page {number}" for number in range(PAGES)))


async def _complete(data: Path, *texts: str) -> None:
    async with running_service(data, ILIOS_SNAPSHOT_HOURS="0") as service:
        client = Client(service)
        names = [await client.submit(documents.pdf(text)) for text in texts]
        for name in names:
            await client.wait_for(name, "completed")
    (data / "identifiers").write_text("\n".join(names))


def _identifiers(data: Path) -> list[str]:
    listed = data / "identifiers"
    names = listed.read_text().splitlines()
    listed.unlink()
    return names
