"""The files of deploy/: precedence of settings, the health check, and the unit."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from aiohttp import web

from ilios.settings.bad_settings import BadSettings
from ilios.settings.environ import from_environ
from ilios.settings.settings import Settings

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
UNIT = DEPLOY / "ilios.service"
WORKER_UNIT = DEPLOY / "ilios-worker@.service"


def composed(dotenv: str, name: str = "ilios") -> Settings:
    """Return the settings of the container compose starts beside a .env, as compose merges them."""
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"][name]
    environ = dict(
        re.findall(r"(\w+)=(\S+)", re.findall(r"^ENV (.*)$", DOCKERFILE, re.MULTILINE)[0])
    )
    for file in service["env_file"]:
        path = file["path"] if isinstance(file, dict) else file
        text = dotenv if path == "../.env" else (DEPLOY / path).read_text()
        environ |= dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    return from_environ(environ | service["environment"])


def test_a_key_in_dotenv_is_honoured() -> None:
    (key,) = composed("API_KEY=a-key-of-enough-letters\n").api_keys
    assert key.get_secret_value() == "a-key-of-enough-letters"


@pytest.mark.parametrize(
    "dotenv", ["", "ILIOS_INSECURE=false\n", "API_KEY=\n", "ILIOS_API_KEY=misspelt-but-meant\n"]
)
def test_compose_does_not_switch_the_guard_off(dotenv: str) -> None:
    with pytest.raises(BadSettings, match="set API_KEY, or ILIOS_INSECURE=true"):
        composed(dotenv)


def test_the_guard_can_be_turned_off_in_dotenv() -> None:
    assert composed("ILIOS_INSECURE=true\n").insecure


def test_dotenv_wins_but_for_where_the_container_listens() -> None:
    settings = composed("ILIOS_INSECURE=true\nWORKER_COUNT=7\nPORT=8080\nILIOS_HOST=127.0.0.1\n")
    assert (settings.engine_processes, settings.port, settings.host) == (7, 1337, "0.0.0.0")
    assert composed("ILIOS_INSECURE=true\n").engine_processes == 2


def test_workers_of_compose_share_blobs_and_key_of_the_core() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    places = {
        name: dict(volume.split(":")[:2] for volume in services[name]["volumes"])
        for name in ("ilios", "worker")
    }
    shared = "NATS_URL=nats://nats:4222\nILIOS_SHARED_BLOBS=/var/lib/ilios/blobs\n"
    core, worker = (
        composed(f"API_KEY=a-key-of-enough-letters\n{shared}"),
        composed(shared, "worker"),
    )
    assert places["ilios"]["blobs"] == places["worker"]["blobs"] == str(core.shared_blobs)
    assert worker.shared_blobs == core.shared_blobs
    assert worker.seal_key_file is not None
    assert str(worker.seal_key_file.parent) == places["worker"]["data"]
    assert services["worker"]["command"] == ["run", "fetcher", "ocr"]
    assert not services["worker"]["ports"]
    assert {services[name]["profiles"][0] for name in ("worker", "nats")} == {"workers"}
    assert "profiles" not in services["ilios"], "one machine needs neither"


async def test_container_health_asks_whether_it_lives_not_whether_it_is_ready() -> None:
    (words,) = re.findall(r"^HEALTHCHECK .*?CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    _, *command = json.loads(words)
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=200 if request.path == "/livez" else 503)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = str(runner.addresses[0][1])
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, env=os.environ | {"PORT": port}
        )
        assert await process.wait() == 0
    finally:
        await runner.cleanup()
    assert asked == ["/livez"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on PATH")
@pytest.mark.parametrize("unit", [UNIT, WORKER_UNIT], ids=lambda unit: unit.name)
def test_systemd_can_read_the_unit(unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / unit.name.replace("@", "@1")
    # The command of the unit is not installed on this machine.
    copy.write_text(unit.read_text().replace("/opt/ilios/bin/ilios", sys.executable))
    found = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stderr) == (0, "")


def test_the_steps_of_installing_name_what_the_unit_uses() -> None:
    steps = (ROOT / "docs" / "operations.md").read_text().partition("### Under systemd")[2]
    unit: Any = UNIT.read_text()
    for path in (*re.findall(r"^EnvironmentFile=-(\S+)", unit, re.MULTILINE), "/opt/ilios"):
        assert path in unit
        assert path in steps
    for step in ("--require-hashes", "deploy/ilios.service", "daemon-reload", "enable --now"):
        assert step in steps


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="no hadolint on PATH")
def test_hadolint_has_nothing_to_say_about_the_dockerfile() -> None:
    found = subprocess.run(
        ["hadolint", str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (0, "")


def test_the_worker_unit_differs_from_that_of_the_service_in_what_it_runs() -> None:
    def hardening(unit: Path) -> set[str]:
        lines = unit.read_text().splitlines()
        return {
            line for line in lines if re.match(r"(Protect|Restrict|Private|System|No|Cap)", line)
        }

    assert hardening(WORKER_UNIT) == hardening(UNIT)
