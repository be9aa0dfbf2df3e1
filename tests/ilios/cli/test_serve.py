"""`ilios serve`: what prevents a start is one line, and the banner fits one screen."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ilios import __version__
from ilios.cli.serve import banner
from ilios.nats.server import embedded
from ilios.service import Service
from ilios.settings.environ import from_environ
from tests.ilios.database.originals import (
    contents,
    make_original_of_a_running_service,
)

ROOT = Path(__file__).parents[3]


async def _serve(
    tmp_path: Path,
    environ: dict[str, str],
    stdout: int = asyncio.subprocess.DEVNULL,
    directory: str | Path = "/",
) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ilios",
        "serve",
        cwd=directory,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PORT": "0",
            "ILIOS_NATS_PORT": "0",
            "ILIOS_DATA_DIR": str(tmp_path / "data"),
            "ILIOS_LOG_LEVEL": "error",
            **environ,
        },
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, errors.decode()


def _a_file(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "file").touch()
    return {"ILIOS_DATA_DIR": str(tmp_path / "file")}


def _where_nothing_can_be_made(_: Path) -> dict[str, str]:
    return {"ILIOS_DATA_DIR": "/proc/data"}  # not even by root


def _a_directory_for_a_database(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "directory").mkdir()
    return {"LOCAL_DB_PATH": str(tmp_path / "directory")}


def _a_bus_without_an_address(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "data" / "nats" / "operator.url.new").mkdir(parents=True)
    return {}


@pytest.mark.parametrize(
    "obstacle",
    [
        _a_file,
        _where_nothing_can_be_made,
        _a_directory_for_a_database,
        _a_bus_without_an_address,
    ],
)
async def test_a_place_that_cannot_hold_the_data_is_named(
    tmp_path: Path, obstacle: Callable[[Path], dict[str, str]]
) -> None:
    code, errors = await _serve(tmp_path, obstacle(tmp_path))

    assert code == 3
    assert len(errors.splitlines()) == 1
    assert "cannot be used" in errors
    assert "ILIOS_DATA_DIR" in errors
    assert "LOCAL_DB_PATH" in errors


async def test_damaged_credentials_may_be_deleted(tmp_path: Path) -> None:
    path = tmp_path / "data" / "nats" / "credentials.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"service": "hush"}')

    code, errors = await _serve(tmp_path, {})

    assert code == 3
    assert len(errors.splitlines()) == 1
    assert f"{path} is damaged; it may be deleted" in errors
    assert "hush" not in errors


async def test_a_full_stdout_is_reported_in_one_line(tmp_path: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    code, errors = await _serve(tmp_path, {}, full)
    os.close(full)

    assert code == 3
    assert len(errors.splitlines()) == 1
    assert "stdout cannot be written" in errors
    assert (tmp_path / "data" / "version").read_text() == f"{__version__}\n"


async def test_a_bus_user_without_permission_is_reported(tmp_path: Path) -> None:
    async with embedded(tmp_path / "bus", 0) as bus:
        code, errors = await _serve(tmp_path, {"NATS_URL": bus.url("publisher-default")})

    assert code == 2
    line = errors.splitlines()[-1]
    assert "permissions violation" in line
    assert "$js.api" in line.lower()
    assert "timeout" not in line


@pytest.mark.parametrize(("keys", "shown"), [("k", "$API_KEY"), ("k,l", "YOUR_KEY")])
def test_the_example_command_has_a_key_that_works(tmp_path: Path, keys: str, shown: str) -> None:
    settings = from_environ({"ILIOS_DATA_DIR": str(tmp_path), "API_KEY": keys})
    screen = banner(Service(settings, "http://a:1", "a bus", "an engine", None))
    assert f'-H "Authorization: Bearer {shown}" ' in screen


async def test_the_database_of_the_original_service_is_refused_and_not_changed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "data" / "ilios.db"
    path.parent.mkdir()
    make_original_of_a_running_service(path)
    (tmp_path / ".env").write_text("# of the original\nexport LOCAL_DB_PATH='./data/ilios.db'\n")
    before = contents(tmp_path)

    code, errors = await _serve(tmp_path, {}, directory=tmp_path)

    assert code == 2
    assert len(errors.splitlines()) == 1
    assert "data/ilios.db is a database of another program" in errors
    assert "Set LOCAL_DB_PATH to another file" in errors
    assert contents(tmp_path) == before


async def test_a_broken_line_of_dotenv_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("API_KEY=hush\nhush\n")
    code, errors = await _serve(tmp_path, {}, directory=tmp_path)
    assert (code, len(errors.splitlines())) == (2, 1)
    assert errors.startswith("ilios: .env, line 2: must be NAME=value")
    assert "hush" not in errors


async def test_which_variables_came_from_dotenv_is_logged_and_no_value(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("API_KEY=hush\nPORT=1\n")
    environ = {"ILIOS_LOG_LEVEL": "info", "ILIOS_LOG_FORMAT": "json"} | _a_file(tmp_path)
    code, errors = await _serve(tmp_path, environ, directory=tmp_path)
    assert code == 3
    line = msgspec.json.decode(errors.splitlines()[0])
    assert (line["path"], line["names"]) == (str(tmp_path / ".env"), ["API_KEY"])
    assert "hush" not in errors


async def test_the_data_of_a_newer_version_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "version").write_text("99.1.0\n")
    code, errors = await _serve(tmp_path, {})
    assert (code, len(errors.splitlines())) == (3, 1)
    assert "was written by a newer ilios (99.1.0" in errors
