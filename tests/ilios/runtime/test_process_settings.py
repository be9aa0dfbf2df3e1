"""Connections within the limit on open files, and a warning where it allows too few."""

import os
import resource
import subprocess
import sys

import pytest

from ilios.runtime import process_settings
from ilios.runtime.process_settings import (
    FILES_PER_CONNECTION,
    RESERVED_FILES,
    file_limit_warnings,
    raise_file_limit,
)

CHECK = [sys.executable, "-m", "ilios", "check"]


class Limit:
    """A limit as the kernel reports it; ``most`` is what it accepts."""

    def __init__(self, soft: int, hard: int, most: int | None = None) -> None:
        self.now = soft, hard
        self.most = most

    def get(self, _which: int) -> tuple[int, int]:
        return self.now

    def set(self, _which: int, limits: tuple[int, int]) -> None:
        if self.most is not None and limits[0] > self.most:
            raise ValueError("current limit exceeds maximum limit")
        self.now = limits


def limited(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, most: int | None = None
) -> Limit:
    limit = Limit(soft, hard, most)
    monkeypatch.setattr(resource, "getrlimit", limit.get)
    monkeypatch.setattr(resource, "setrlimit", limit.set)
    return limit


WANTED = 1000 * FILES_PER_CONNECTION + RESERVED_FILES


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "connections"),
    [
        (1024, 1_048_576, WANTED, 1000),
        (1024, resource.RLIM_INFINITY, WANTED, 1000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY, 1000),
        (65_536, 65_536, 65_536, 1000),
        (256, 2000, 2000, (2000 - RESERVED_FILES) // FILES_PER_CONNECTION),
        (256, 600, 600, 150),
        (16, 16, 16, 4),
    ],
)
def test_the_limit_is_raised_as_far_as_is_needed_and_allowed(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, raised: int, connections: int
) -> None:
    limit = limited(monkeypatch, soft, hard)
    assert raise_file_limit(1000) == connections
    assert limit.now == (raised, hard)
    assert bool(file_limit_warnings(1000)) == (connections < 1000)


def test_a_system_that_allows_less_than_its_limit_is_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limited(monkeypatch, 1024, resource.RLIM_INFINITY, most=1024)
    assert raise_file_limit(1000) == (1024 - RESERVED_FILES) // FILES_PER_CONNECTION


def test_a_process_raises_its_limit() -> None:
    code = f"from {process_settings.__name__} import raise_file_limit\nimport resource\n"
    code += "resource.setrlimit(resource.RLIMIT_NOFILE, (300, 3000))\nprint(raise_file_limit(200), "
    code += "raise_file_limit(5000), resource.getrlimit(resource.RLIMIT_NOFILE))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (
        ran.stdout.strip() == f"200 {(3000 - RESERVED_FILES) // FILES_PER_CONNECTION} (3000, 3000)"
    )


def test_check_reports_a_limit_that_is_too_low() -> None:
    environ = os.environ | {"ILIOS_MAX_CONNECTIONS": "1000"}
    shell = ["sh", "-c", 'ulimit -n 1024; exec "$@"', "sh", *CHECK]
    ran = subprocess.run(shell, capture_output=True, text=True, env=environ, check=True)
    assert f"1000 connections need {WANTED} open files and 1024 are allowed" in ran.stderr
    ran = subprocess.run(CHECK, capture_output=True, text=True, env=environ, check=True)
    assert "open files" not in ran.stderr
