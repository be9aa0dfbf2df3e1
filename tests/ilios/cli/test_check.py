"""`ilios check`: what is in effect, in the words of whoever set it."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from ilios import settings
from ilios.cli import check
from ilios.engines import landlock
from ilios.tenants import tenant_of

ROOT = Path(__file__).parents[3]


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for setting in settings.TABLE:
        monkeypatch.delenv(setting.variable, raising=False)
    return monkeypatch


def _shown(capsys: pytest.CaptureFixture[str]) -> str:
    assert check.run(argparse.Namespace()) == 0
    return capsys.readouterr().out


def test_values_are_shown_as_they_would_be_set(
    no_settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    no_settings.setenv("ILIOS_ENGINE_MEMORY_MB", "777")

    rows = {words[0]: words[1] for line in _shown(capsys).splitlines() if (words := line.split())}

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


def test_nobody_waits_for_the_web_server() -> None:
    code = "import sys, ilios.cli.check; print('aiohttp' in sys.modules)"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
