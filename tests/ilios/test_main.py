"""`ilios`: each command is one module, found by its name, which defines its arguments."""

import argparse
from pathlib import Path

import pytest

from ilios.__main__ import COMMANDS, main
from ilios.cli import check
from ilios.settings import environ
from tests.ilios.database.originals import contents, make_original
from tests.journeys.commands import run_ilios


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_describes_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main([command, "--help"])
    assert exited.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: ilios {command} ")


def test_an_unknown_command_is_answered_with_the_list_of_commands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["server"])
    assert exited.value.code == 2
    errors = capsys.readouterr().err
    assert all(command in errors for command in COMMANDS)


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that commands read as their .env; it does not exist yet."""
    monkeypatch.setattr(environ, "ENV_FILE", tmp_path / ".env")
    return tmp_path / ".env"


@pytest.mark.parametrize("command", ["serve", "convert -", "dead list", "losses", "rebuild"])
def test_every_command_with_settings_reads_the_env_file(
    command: str, env_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env_file.write_text("PORT=1\nhush\n")
    assert main(command.split()) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"ilios: {env_file}, line 2: must be NAME=value")
    assert len(errors.splitlines()) == 1
    assert "hush" not in errors


def test_check_shows_which_settings_are_of_the_env_file(
    env_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("PORT", "0")
    monkeypatch.setenv("ILIOS_NATS_PORT", "0")
    monkeypatch.setenv("ILIOS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("ILIOS_MAX_UPLOADS", "")  # removed again after the test
    monkeypatch.delenv("ILIOS_MAX_UPLOADS")
    env_file.write_text("PORT=1\nILIOS_MAX_UPLOADS=7\n")
    assert check.run(argparse.Namespace()) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert rows["ILIOS_MAX_UPLOADS"].split()[1:3] == ["7", str(env_file)]
    assert rows["PORT"].split()[1:3] == ["0", "environment"]


@pytest.mark.parametrize(("command", "code"), [("check", 3), ("rebuild", 2)])
async def test_the_database_of_another_program_is_refused_by_other_commands_too(
    tmp_path: Path, command: str, code: int
) -> None:
    make_original(tmp_path / "data" / "ilios.db")
    (tmp_path / "data" / "nats").mkdir()
    before = contents(tmp_path)
    result = await run_ilios(tmp_path / "data", command, PORT="0")
    assert result.code == code
    assert "is a database of another program" in result.errors
    assert "Set LOCAL_DB_PATH to another file, or ILIOS_DATA_DIR" in result.errors
    assert contents(tmp_path) == before
