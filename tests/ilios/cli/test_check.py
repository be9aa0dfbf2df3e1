"""`ilios check` shows the settings in effect, by their variables."""

import argparse
import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ilios.api_keys import tenant_of
from ilios.blobs.move_record import MoveRecord, Stage, write_record
from ilios.cli import check, preflight
from ilios.engines.sandbox import landlock
from ilios.runtime.disk_space import Volume
from ilios.settings.settings import MIB, TABLE
from tests import events
from tests.ilios.database.db import history, open_database

ROOT = Path(__file__).parents[3]


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No setting but what keeps the tries away from other services of this machine."""
    for setting in TABLE:
        monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.setenv("ILIOS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PORT", "0")
    monkeypatch.setenv("ILIOS_NATS_PORT", "0")
    return monkeypatch


def _shown(capsys: pytest.CaptureFixture[str]) -> str:
    assert check.run(argparse.Namespace()) == 0
    return capsys.readouterr().out


def test_values_are_shown_as_they_would_be_set(
    no_settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    no_settings.setenv("ILIOS_ENGINE_MEMORY_MB", "777")

    lines = [line.split() for line in _shown(capsys).splitlines()]
    rows = {words[0]: words[1] for words in lines if len(words) > 1}

    assert rows["ILIOS_MAX_FILE_MB"] == "1024"
    assert rows["ILIOS_ENGINE_MEMORY_MB"] == "777"
    assert rows["ILIOS_CONVERT_TIMEOUT"] == "300"
    assert rows["ILIOS_INSECURE"] == "false"


def test_the_tenant_of_each_key_is_shown_and_next_to_nothing_of_the_key(
    no_settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    no_settings.setenv("API_KEY", "canary-of-12,canary-11ch")

    shown = _shown(capsys)

    assert f"cana…  {tenant_of('canary-of-12')}" in shown
    assert shown.count("canar") == 0
    no_settings.setenv("API_KEY", "short-key")
    shown = _shown(capsys)
    assert f"***  {tenant_of('short-key')}" in shown
    assert "shor" not in shown


def test_what_the_sandbox_lacks_on_this_machine_is_a_warning(
    no_settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    no_settings.setattr(landlock, "version", lambda: 0)
    no_settings.setenv("ILIOS_SANDBOX", "strict")

    assert check.run(argparse.Namespace()) == 0

    warned = capsys.readouterr().err
    assert "warning: ILIOS_SANDBOX: strict, but no Landlock" in warned
    assert "nothing will be converted" in warned


def test_the_command_does_not_load_the_web_server() -> None:
    code = "import sys, ilios.cli.check; print('aiohttp' in sys.modules)"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


def final_lines(capsys: pytest.CaptureFixture[str], code: int) -> tuple[str, str]:
    """Run the check; return its last line and what it has on stderr."""
    assert check.run(argparse.Namespace()) == code
    found = capsys.readouterr()
    return found.out.splitlines()[-1], found.err


def test_it_ends_with_a_summary_and_leaves_nothing_behind(
    no_settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert final_lines(capsys, 0)[0].startswith("Ready to start")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "data").mkdir()
    assert final_lines(capsys, 0)[0].startswith("Ready to start")
    assert list(tmp_path.rglob("*")) == [tmp_path / "data"]


def test_invalid_settings_end_with_a_summary_too(
    no_settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    no_settings.setenv("ILIOS_HOST", "0.0.0.0")
    no_settings.setenv("ILIOS_API_KEY", "what-was-meant-to-protect-it")
    last, lines = final_lines(capsys, 2)
    assert last == "Not ready to start: 1 problem."
    assert "ILIOS_API_KEY has no effect: there is no such setting; did you mean API_KEY?" in lines


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("ILIOS_DATA_DIR", "{tmp}/file", "ILIOS_DATA_DIR: {tmp}/file is not a directory"),
        ("ILIOS_DATA_DIR", "{tmp}/file/below", "ILIOS_DATA_DIR: {tmp}/file is not a directory"),
        ("ILIOS_DATA_DIR", "/proc/ilios", "ILIOS_DATA_DIR: /proc/ilios cannot be made in /proc"),
        ("LOCAL_DB_PATH", "{tmp}/file/ilios.db", "LOCAL_DB_PATH: {tmp}/file is not a directory"),
        ("LOCAL_DB_PATH", "{tmp}", "LOCAL_DB_PATH: {tmp} is a directory; name a file"),
        (
            "ILIOS_SEAL_KEY_FILE",
            "{tmp}/none",
            "ILIOS_SEAL_KEY_FILE: there is no key for passwords in {tmp}/none",
        ),
        ("ILIOS_HOST", "203.0.113.1", "PORT: 1 of 203.0.113.1 cannot be listened on"),
    ],
)
def test_a_reason_not_to_start_is_a_problem(
    no_settings: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    variable: str,
    value: str,
    complaint: str,
) -> None:
    (tmp_path / "file").touch()
    if variable == "ILIOS_HOST":
        no_settings.setenv("ILIOS_INSECURE", "true")
        no_settings.setenv("PORT", "1")
    no_settings.setenv(variable, value.format(tmp=tmp_path))
    last, lines = final_lines(capsys, 3)
    assert last == "Not ready to start: 1 problem."
    assert f"ilios: {complaint.format(tmp=tmp_path)}" in lines


def test_a_blob_directory_of_somebody_else_is_a_problem(
    no_settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "blobs").touch()
    assert "data/blobs is not a directory" in final_lines(capsys, 3)[1]


def test_a_directory_whose_blobs_were_moved_is_a_problem(
    no_settings: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    source = str(tmp_path / "data" / "blobs")
    write_record(tmp_path / "data", MoveRecord(source, "bucket documents", Stage.LEFT))
    assert "all blobs were moved to bucket documents" in final_lines(capsys, 3)[1]


def test_a_database_that_only_a_snapshot_has_is_a_problem(
    no_settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    asyncio.run(_database(data / "ilios.db"))
    assert final_lines(capsys, 0)[0].startswith("Ready to start")
    (data / "snapshots").mkdir()
    (data / "ilios.db").rename(data / "snapshots" / "ilios-20260115T103000Z.db")
    last, lines = final_lines(capsys, 3)
    assert last == "Not ready to start: 1 problem."
    assert f"LOCAL_DB_PATH: the database {data / 'ilios.db'} is missing" in lines
    assert not (data / "ilios.db").exists()


async def _database(path: Path) -> None:
    async with open_database(path) as db:
        await db.apply(*history(events.submitted()))


def test_too_little_room_is_a_problem(
    no_settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = Volume(device=1, free=63 * MIB, files=None)
    no_settings.setattr(Volume, "of", lambda _: full)
    last, lines = final_lines(capsys, 3)
    assert last == "Not ready to start: 1 problem."
    assert "63 MB are free" in lines
    assert "ILIOS_RESERVE_MB" in lines


def test_ports_in_use_are_distinguished(
    no_settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        taken.settimeout(0)  # nobody answers there
        no_settings.setattr(preflight, "PORT_TIMEOUT", 0.1)
        no_settings.setenv("ILIOS_NATS_PORT", port)
        last, lines = final_lines(capsys, 0)
        assert last.startswith("Ready to start, with")
        assert f"ILIOS_NATS_PORT: {port} is in use by another program; a free one is taken" in lines
        no_settings.setenv("PORT", port)
        last, lines = final_lines(capsys, 3)
        assert last == "Not ready to start: 1 problem."
        assert f"PORT: {port} of 127.0.0.1 is in use by another program; set PORT" in lines


KEY = "a-key-of-enough-letters"


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ("secret", "key 1 has 6 characters and can be guessed"),
        (f"{KEY},{KEY}", "key 1 is there again as key 2"),
        (f"{KEY},{KEY.upper()}", "keys 1, 2 differ only by white space or case"),
        (f"{KEY},a-key-of- enough-letters", "keys 1, 2 differ only by white space or case"),
        (f"{KEY} {KEY}", "key 1 holds white space"),
    ],
)
def test_keys_that_are_weak_or_look_like_others_are_warned_of(
    no_settings: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    keys: str,
    complaint: str,
) -> None:
    no_settings.setenv("API_KEY", keys)
    last, lines = final_lines(capsys, 0)
    assert f"warning: API_KEY: {complaint}" in lines
    assert last.startswith("Ready to start, with")
    assert KEY not in lines


def test_good_keys_are_not_warned_of(
    no_settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    no_settings.setenv("API_KEY", f" {KEY} , 0123456789abcdef")
    assert "API_KEY" not in final_lines(capsys, 0)[1]


def test_a_directory_of_a_newer_version_is_a_problem(
    no_settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "version").write_text("99.1.0\n")
    last, lines = final_lines(capsys, 3)
    assert last == "Not ready to start: 1 problem."
    assert "ILIOS_DATA_DIR: the data directory" in lines
    assert "written by a newer ilios (99.1.0" in lines
