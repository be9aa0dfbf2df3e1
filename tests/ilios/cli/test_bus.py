"""A context of the nats command has what connects, for its owner alone."""

import json
from pathlib import Path
from typing import Any

import nats
import pytest

from ilios.__main__ import main
from ilios.cli import ExitCode
from ilios.nats.server import NatsServer, embedded


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("ILIOS_DATA_DIR", str(tmp_path))
    return tmp_path / "config" / "nats" / "context"


async def connects(path: Path) -> bool:
    """Whether a client connects with a context, as the nats command does."""
    context: dict[str, Any] = json.loads(path.read_text())
    client = await nats.connect(
        context["url"], user=context["user"], password=context["password"], allow_reconnect=False
    )
    await client.close()
    return True


async def test_operator_and_publisher_connect_with_their_contexts(
    nats_server: NatsServer, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bus", "context"]) == ExitCode.OK
    assert main(["bus", "context", "--tenant", "default", "--name", "mine"]) == ExitCode.OK
    for name, user in (("ilios-operator", "operator"), ("mine", "publisher-default")):
        path = home / f"{name}.json"
        assert path.stat().st_mode & 0o777 == 0o600
        assert json.loads(path.read_text())["user"] == user
        assert await connects(path)
    assert home.stat().st_mode & 0o777 == 0o700
    shown = "".join(capsys.readouterr())
    for user in ("operator", "publisher-default"):
        assert nats_server.url(user).split(":")[2].split("@")[0] not in shown


async def test_a_password_is_printed_only_if_asked_for(
    nats_server: NatsServer, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bus", "context", "--stdout"]) == ExitCode.OK
    printed = json.loads(capsys.readouterr().out)
    assert f"{printed['user']}:{printed['password']}@" in nats_server.url("operator")
    assert not home.exists()


async def test_a_context_is_written_again_for_another_port(tmp_path: Path, home: Path) -> None:
    for _ in range(2):
        async with embedded(tmp_path / "nats", 0):
            assert main(["bus", "context"]) == ExitCode.OK
            assert await connects(home / "ilios-operator.json")


async def test_a_context_of_somebody_else_stays(
    nats_server: NatsServer, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert nats_server.is_ready
    home.mkdir(parents=True)
    (home / "ilios-operator.json").write_text('{"url": "nats://elsewhere"}')
    assert main(["bus", "context"]) == ExitCode.CANNOT_START
    assert "--name" in capsys.readouterr().err
    assert "elsewhere" in (home / "ilios-operator.json").read_text()


async def test_what_cannot_be_a_context_is_refused(
    nats_server: NatsServer, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert nats_server.is_ready
    assert main(["bus", "context", "--tenant", "../operator"]) == ExitCode.CANNOT_START
    assert "only: default" in capsys.readouterr().err
    assert main(["bus", "context", "--name", "../x"]) == ExitCode.CANNOT_START
    assert not home.exists()


def test_without_a_service_there_is_no_context(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bus", "context"]) == ExitCode.CANNOT_START
    assert "ILIOS_DATA_DIR" in capsys.readouterr().err
    assert not home.exists()


def test_a_bus_of_ones_own_has_the_credentials_of_its_url(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NATS_URL", "nats://ilios:p%40ss@nats.example:4333")
    assert main(["bus", "context"]) == ExitCode.OK
    found = json.loads((home / "ilios-operator.json").read_text())
    assert (found["url"], found["user"], found["password"]) == (
        "nats://nats.example:4333",
        "ilios",
        "p@ss",
    )
    assert main(["bus", "context", "--tenant", "default"]) == ExitCode.CANNOT_START
    assert "NATS_URL" in capsys.readouterr().err
