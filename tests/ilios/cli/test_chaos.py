"""The command `ilios chaos`: a sound service passes, the defects of others are found."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
ENDS_WITHIN = 100.0  # seconds; it takes ten on a quiet machine
PATIENT = ("--within", "80")
"""On a loaded machine documents take longer."""

REWRITE = """
import re, sqlite3
rewritten = lambda sql: {}
class Defective(sqlite3.Connection):
    def execute(self, sql, *rest):
        return super().execute(rewritten(sql), *rest)
    def executemany(self, sql, *rest):
        return super().executemany(rewritten(sql), *rest)
connect = sqlite3.connect
sqlite3.connect = lambda *args, **more: connect(*args, **{{**more, "factory": Defective}})
"""
"""A service whose SQL is rewritten: tables and columns keep their names, modules may not."""
WITHOUT_BILLS = REWRITE.format(
    "sql.replace('WHERE', 'WHERE 0 AND') if 'INSERT INTO usage' in sql else sql"
)
SWAPPED_TEXT = REWRITE.format(
    r"""sql if not re.match(r'\s*SELECT', sql) or 'erased_at IS NULL' in sql else re.sub(
            r'(?:d\.)?(markdown_(?:key|size|sha256)), ',
            r'(SELECT \1 FROM documents WHERE markdown_key = '
            r'(SELECT min(markdown_key) FROM documents WHERE state = "completed")), ',
            sql)"""
)
FORGETTING = (
    REWRITE.format(
        r"""re.sub(r'SELECT\s+:tenant', "SELECT 'nobody'", sql) \
    if 'INSERT INTO documents' in sql else sql"""
    )
    + """
import os
os.environ["ILIOS_CONVERT_TIMEOUT"] = "1"  # the documents never end
"""
)
NOT_STARTING = "raise SystemExit('no disk in drive A')"


def _defective(tmp_path: Path, code: str) -> dict[str, str]:
    """Return an environment in which only ``ilios serve`` and its edge have this code."""
    (tmp_path / "patches").mkdir()
    guarded = "".join(f"    {line}\n" for line in code.strip().splitlines())
    served = "sys.orig_argv[-2:] == ['ilios', 'serve'] or 'ilios.edge_process' in sys.orig_argv"
    text = f"import sys\nif {served}:\n{guarded}"
    (tmp_path / "patches" / "sitecustomize.py").write_text(text)
    return {"PYTHONPATH": os.pathsep.join((str(tmp_path / "patches"), str(ROOT)))}


@asynccontextmanager
async def _started(*arguments: str, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ilios",
        "chaos",
        *arguments,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _run(*arguments: str, **environ: str) -> tuple[int, str, str]:
    async with _started(*arguments, **environ) as process, asyncio.timeout(ENDS_WITHIN):
        out, errors = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), errors.decode()


def _processes_of(directory: Path) -> list[str]:
    """Return the environments that name a path below the directory: those of the service."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            environ = (process / "environ").read_bytes().decode(errors="replace")
            if f"{directory}/" in environ:
                found.append(environ)
    return found


@pytest.mark.slow
async def test_a_sound_service_keeps_every_promise_and_nothing_is_left_over(tmp_path: Path) -> None:
    directory = tmp_path / "trial"
    words = ("--documents", "25", "--kills", "4", "--seed", "7", "--directory", str(directory))
    code, out, errors = await _run(*words, "--json", *PATIENT)

    assert code == 0, out + errors
    figures: dict[str, Any] = msgspec.json.decode(out)
    assert figures["kept"]
    assert (figures["kills"], figures["pauses"]) == (4, 1)
    assert figures["accepted"] >= 25
    ended = figures["completed"] + sum(figures["failed"].values()) + figures["removed"]
    assert ended == figures["accepted"]
    assert "seed 7" in errors
    assert not _processes_of(directory)
    assert not directory.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("defect", "kind", "within"),
    [
        (WITHOUT_BILLS, "not billed", "1"),
        (SWAPPED_TEXT, "mixed up", "1"),
        (FORGETTING, "lost", "0.1"),
    ],
    ids=["drops bills", "mixes texts up", "forgets documents"],
)
async def test_the_defect_of_a_service_is_found(
    tmp_path: Path, defect: str, kind: str, within: str
) -> None:
    directory = tmp_path / "trial"
    words = ("--documents", "8", "--kills", "0", "--seed", "7", "--directory", str(directory))
    code, out, errors = await _run(*words, "--within", within, **_defective(tmp_path, defect))

    assert code == 1, out + errors
    broken = [line.split("  ")[0] for line in out.splitlines() if "BROKEN" in line]
    assert kind in broken
    assert "--documents 8 --kills 0 --seed 7" in errors
    assert f"kept: {directory}" in errors
    assert (directory / "data" / "ilios.db").exists()
    assert not _processes_of(directory)


async def test_a_service_that_does_not_start_ends_it_with_the_reason(tmp_path: Path) -> None:
    words = ("--directory", str(tmp_path / "trial"))
    code, _, errors = await _run(*words, **_defective(tmp_path, NOT_STARTING))
    assert code == 3
    assert "no disk in drive A" in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupted_run_leaves_no_process_and_no_directory(
    tmp_path: Path, number: signal.Signals
) -> None:
    directory = tmp_path / "trial"
    async with _started("--directory", str(directory)) as process:
        assert process.stderr is not None
        async with asyncio.timeout(ENDS_WITHIN):
            await process.stderr.readline()  # the service is up
            await wait_until(
                lambda: any("ILIOS_NATS_STORE" in one for one in _processes_of(directory))
            )
            process.send_signal(number)
            await process.communicate()
        assert process.returncode == 130
    assert not _processes_of(directory)
    assert not directory.exists()


@pytest.mark.slow
async def test_a_service_on_three_hosts_and_three_nodes_keeps_every_promise(tmp_path: Path) -> None:
    directory = tmp_path / "trial"
    hosts = ("--nodes", "3", "--hosts", "2")  # and the core
    words = ("--documents", "10", "--kills", "3", "--seed", "5", "--directory", str(directory))
    code, out, errors = await _run(*hosts, *words, "--json", *PATIENT)

    assert code == 0, out + errors
    figures: dict[str, Any] = msgspec.json.decode(out)
    assert figures["kept"]
    assert figures["kills"] + figures["pauses"] + figures["others"] == 3
    assert not _processes_of(directory)
    assert not directory.exists()


@pytest.mark.slow
async def test_an_interrupted_run_over_hosts_leaves_no_process(tmp_path: Path) -> None:
    directory = tmp_path / "trial"
    async with _started("--hosts", "1", "--directory", str(directory)) as process:
        async with asyncio.timeout(ENDS_WITHIN):
            await wait_until(lambda: len(_processes_of(directory)) > 3)
            process.send_signal(signal.SIGINT)
            await process.communicate()
        assert process.returncode == 130
    assert not _processes_of(directory)
    assert not directory.exists()


@pytest.mark.parametrize(
    "hosts",
    [
        pytest.param((), marks=pytest.mark.slow, id="single"),
        pytest.param(("--hosts", "1"), marks=pytest.mark.long, id="hosts"),
    ],
)
async def test_a_killed_run_leaves_no_process(tmp_path: Path, hosts: tuple[str, ...]) -> None:
    directory = tmp_path / "trial"
    async with _started("--directory", str(directory), *hosts) as process:
        assert process.stderr is not None
        async with asyncio.timeout(ENDS_WITHIN):
            await process.stderr.readline()  # the service is up
        process.kill()
    await wait_until(lambda: not _processes_of(directory), within=30)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--documents", "10", "--kills", "10"), "leave room for 8 kills"),
        (("--documents", "0"), "--documents must be 1 at least"),
        (("--kills", "-1"), "--kills must be 0 at least"),
        (("--within", "0"), "--within must be more than 0"),
        (("--hosts", "0"), "--hosts must be 1 at least"),
        (("--nodes", "3"), "--nodes needs it"),
        (("--hosts", "1", "--nodes", "4"), "--nodes must be 3 or 5"),
        (("--directory", str(ROOT)), "is not empty"),
    ],
)
async def test_an_impossible_run_is_refused_at_once(words: tuple[str, ...], message: str) -> None:
    code, _, errors = await _run(*words)
    assert code == 2
    assert len(errors.splitlines()) == 1
    assert message in errors
