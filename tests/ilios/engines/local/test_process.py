"""Limits, exit statuses, frames and directories of child processes."""

import asyncio
import fcntl
import os
import signal
import tempfile
import time
from pathlib import Path

import pytest

from actors.engines import EngineCrashed, Unconvertible
from ilios.engines.local import exit_status, protocol, staging
from ilios.engines.local.limits import MIB, EngineLimits
from tests import documents


def test_the_default_limits_are_the_documented_ones() -> None:
    limits = EngineLimits()
    assert limits.processes == os.cpu_count()
    assert limits.memory_bytes == 2 * 1024 * MIB
    assert (limits.wall_seconds, limits.cpu_seconds) == (300, 300)
    assert limits.max_output_bytes == 64 * MIB


def test_a_limit_of_zero_is_an_error() -> None:
    with pytest.raises(ValueError, match="max_pages must be positive"):
        EngineLimits(max_pages=0)


@pytest.mark.parametrize(
    ("returncode", "stderr", "expected"),
    [
        (-signal.SIGXCPU, b"", "timeout"),
        (-signal.SIGABRT, b"memory allocation of 9 bytes failed", "out_of_memory"),
        (-signal.SIGABRT, exit_status.MEMORY_PRESSURE, "out_of_memory"),
        (exit_status.OUT_OF_MEMORY_EXIT, b"", "out_of_memory"),
        (-signal.SIGABRT, b"", True),
        (-signal.SIGSEGV, b"", True),
        (1, b"", True),
        (0, b"", False),
        (-signal.SIGKILL, exit_status.MEMORY_PRESSURE, False),
        (-signal.SIGHUP, b"", False),
    ],
)
def test_an_exit_status_is_explained(
    returncode: int, stderr: bytes, *, expected: str | bool
) -> None:
    error = exit_status.explain(returncode, stderr)
    if isinstance(expected, str):
        assert isinstance(error, Unconvertible)
        assert error.code == expected
    else:
        assert isinstance(error, EngineCrashed)
        assert error.document_blamed is expected


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff\xff\xff\xff",
        (101).to_bytes(4, "big"),
        b"\0\0\0\4junk",
        b"\0\0\0\0",
        protocol.encode_frame(protocol.Request("/etc/passwd", documents.PDF, None)),
    ],
    ids=["4 GB", "more than allowed", "junk", "nothing", "a question"],
)
async def test_an_invalid_frame_is_rejected(frame: bytes) -> None:
    pipe = asyncio.StreamReader()
    pipe.feed_data(frame)
    with pytest.raises(protocol.BadFrame):
        await protocol.read_answer(pipe, 100)


def test_only_scratch_dirs_of_dead_engines_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    abandoned, young, living, ahead = (tmp_path / f"{staging.PREFIX}{n}" for n in "abcd")
    for path in (abandoned, young, living, ahead):
        path.mkdir()
    future = time.time() + 400 * 24 * 3600  # by a clock that was ahead
    os.utime(ahead, (future, future))
    for path in (abandoned, living):
        os.utime(path, (0, 0))
    lock = os.open(living, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    scratch = staging.ScratchDir()
    assert not abandoned.exists()
    assert not ahead.exists()
    assert young.exists()
    assert living.exists()
    os.close(lock)
    scratch.close()
    assert not scratch.path.exists()
