"""The sandbox of a child: access to its document and scratch directory only."""

import asyncio
import errno
import json
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from actors.engines import EngineCrashed
from ilios.engines.local import staging
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.process import StartFailed
from ilios.engines.sandbox import confinement, enter, landlock, profiles, seccomp
from tests import documents
from tests.ilios.engines.conftest import PlaceDocument
from tests.ilios.engines.sandbox import confined

ROOT = Path(enter.__file__).parents[3]
ONE = EngineLimits(processes=1)
SECRET = b"of another tenant"
CAP_DAC_OVERRIDE = 1 << 1

needs_a_sandbox = pytest.mark.skipif(
    bool(enter.missing_features()), reason="; ".join(enter.missing_features()) or "all there"
)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Return the outcomes of all attempts of one confined process."""
    room = tmp_path_factory.mktemp("confined")
    for name in ("scratch", "staging", "store"):
        (room / name).mkdir()
    secret, document = room / "store" / "blob", room / "staging" / "document"
    secret.write_bytes(SECRET)
    document.hardlink_to(secret)
    datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    datagrams.bind(str(room / "store" / "socket"))
    datagrams.settimeout(0)
    with datagrams, socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        places = map(str, (room / "scratch", room / "staging", secret))
        done = subprocess.run(
            [sys.executable, confined.__file__, "strict", *places, port],
            # Code may lie around the data, too; that is no reason to read them.
            env={"PYTHONPATH": f"{ROOT}:{room}", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        with pytest.raises(BlockingIOError):
            datagrams.recv(100)
    assert done.returncode == 0, done.stderr
    assert secret.read_bytes() == SECRET
    assert document.stat().st_mode & 0o777
    came: dict[str, dict[str, str]] = json.loads(done.stdout)
    return came


@needs_a_sandbox
def test_a_child_reaches_no_file_socket_or_process_but_its_own(
    outcomes: dict[str, dict[str, str]],
) -> None:
    refusals = {"EACCES", "EPERM", "EXDEV", "not allowed to raise maximum limit"}
    assert {k: v for k, v in outcomes["refused"].items() if v not in refusals} == {}


@needs_a_sandbox
def test_a_child_can_do_all_that_converters_need(outcomes: dict[str, dict[str, str]]) -> None:
    assert {k: v for k, v in outcomes["needed"].items() if v != "done"} == {}


@needs_a_sandbox
async def test_a_running_child_is_sandboxed(place_document: PlaceDocument, tmp_path: Path) -> None:
    async with LocalEngine(ONE, tmp_path / "staging") as engine:
        await engine.convert(place_document(documents.pdf("A short text."), documents.PDF))
        (pid,) = engine.child_pids
        status = Path(f"/proc/{pid}/status").read_text()
        assert "Seccomp:\t2" in status
        effective = int(status.partition("CapEff:\t")[2].split()[0], 16)
        assert not effective & ~confinement.KEPT_CAPABILITIES
        assert not effective & CAP_DAC_OVERRIDE
        left = [path for path in (tmp_path / "staging").rglob("*") if not path.is_dir()]
        left += list(Path(f"/proc/{pid}/cwd").readlink().iterdir())
        assert not left
    assert not list((tmp_path / "staging").iterdir())


@needs_a_sandbox
@pytest.mark.parametrize("mode", ["auto", "strict", "off"])
async def test_a_child_starts_without_a_sandbox_only_if_the_mode_allows_it(
    place_document: PlaceDocument,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    mode: enter.SandboxMode,
) -> None:
    old = tmp_path / "python"
    old.write_text(f"#!/bin/sh\nshift 3\nexec {sys.executable} -P -c '{ON_AN_OLD_KERNEL}' \"$@\"\n")
    old.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(old))
    document = place_document(documents.pdf("A short text."), documents.PDF)
    with structlog.testing.capture_logs() as logged:
        async with LocalEngine(EngineLimits(processes=2, sandbox=mode)) as engine:
            if mode == "strict":
                with pytest.raises(StartFailed, match="no Landlock"):
                    await engine.check()
                return
            await asyncio.gather(engine.convert(document), engine.convert(document))
    warnings = [line["what"] for line in logged if line["event"] == "sandbox incomplete"]
    assert [line.partition(":")[0] for line in warnings] == (
        ["no Landlock"] if mode == "auto" else []
    )


ON_AN_OLD_KERNEL = """
import errno
from ilios.engines.local import child
from ilios.engines.sandbox import landlock
def call(*_):
    raise OSError(errno.ENOSYS, "Function not implemented")
landlock._call = call
child.main()
"""


def test_a_missing_part_of_the_sandbox_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "version", lambda: 0)
    monkeypatch.setattr(seccomp, "available", lambda: False)
    assert [line.partition(",")[2][:12] for line in enter.sandbox_warnings("auto")] == [
        " but no Land",
        " but no secc",
    ]
    assert all("nothing will be converted" in line for line in enter.sandbox_warnings("strict"))
    assert len(enter.sandbox_warnings("off")) == 1


def test_an_unknown_architecture_is_not_filtered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert not seccomp.available()
    with pytest.raises(OSError, match="unknown system call numbers"):
        seccomp.restrict(profiles.CONVERTER)


async def test_a_document_is_staged_as_a_hard_link(tmp_path: Path) -> None:
    blob, link, place = tmp_path / "blob", tmp_path / "link", tmp_path / "place"
    blob.write_bytes(SECRET)
    link.symlink_to(blob)
    place.mkdir()
    for source in (blob, link):
        laid = await staging.StagingDir(place).stage(source)
        assert laid.samefile(blob)
        assert not laid.is_symlink()


async def test_a_document_of_another_volume_is_copied_and_never_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob, place = tmp_path / "blob", tmp_path / "place"
    blob.write_bytes(SECRET)
    place.mkdir()
    desk = staging.StagingDir(place)
    await desk.stage(blob)

    def other_volume(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_volume)
    other = tmp_path / "other"
    other.write_bytes(b"shorter")
    laid = await desk.stage(other)
    assert (laid.read_bytes(), blob.read_bytes()) == (b"shorter", SECRET)
    assert not laid.samefile(other)
    desk.clear()
    assert not list(place.iterdir())
    monkeypatch.undo()
    (place / staging.DOCUMENT_NAME).hardlink_to(blob)
    monkeypatch.setattr(desk, "clear", lambda: None)
    with pytest.raises(FileExistsError):
        await desk.stage(other)
    assert blob.read_bytes() == SECRET


async def test_a_document_that_does_not_fit_on_the_volume_is_retried(
    place_document: PlaceDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    document = place_document(documents.pdf("A short text."), documents.PDF)
    async with LocalEngine(ONE) as engine:
        with monkeypatch.context() as patched:
            patched.setattr(staging, "_link", no_room)
            with pytest.raises(EngineCrashed, match="No space left") as caught:
                await engine.convert(document)
        assert (caught.value.disk_full, caught.value.document_blamed) == (True, False)
        assert (await engine.convert(document)).pages == ("A short text.",)


async def test_files_left_by_a_child_are_removed_before_the_next_document(
    place_document: PlaceDocument,
) -> None:
    document = place_document(documents.pdf("A short text."), documents.PDF)
    async with LocalEngine(ONE) as engine:
        await engine.convert(document)
        (pid,) = engine.child_pids
        scratch = Path(f"/proc/{pid}/cwd").readlink()
        (scratch / "kept" / "deep").mkdir(parents=True)
        (scratch / "kept" / "deep" / "text").write_bytes(SECRET)
        (scratch / "link").symlink_to("/")
        await engine.convert(document)
        assert not list(scratch.iterdir())
