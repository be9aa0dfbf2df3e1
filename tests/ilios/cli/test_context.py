"""Contexts of the commands for a running service, and their completion."""

import json
import subprocess
from pathlib import Path

import pytest

from ilios.__main__ import COMMANDS
from ilios.cli import contexts
from ilios.cli.contexts import Context
from ilios.settings.bad_settings import BadSettings
from tests.journeys.commands import run_here

HERE = "http://127.0.0.1:1337"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Return an environment with a directory of configurations and one context in it."""
    variables = {"XDG_CONFIG_HOME": str(tmp_path)}
    added = run_here(
        *("context", "add", "office", "https://office.example", "--key-file", "-"),
        stdin=b"secret\n",
        **variables,
    )
    assert (added.code, added.errors) == (0, "")
    return variables


def test_a_context_is_stored_for_its_owner_alone(environ: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "ilios" / "contexts.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_bytes())["contexts"]["office"]["key"] == "secret"
    listed = run_here("context", "list", stdin=b"", **environ)
    assert listed.out == "* office  https://office.example\n"
    file.chmod(0o644)
    refused = run_here("context", "list", stdin=b"", **environ)
    assert (refused.code, f"chmod 600 {file}" in refused.errors) == (2, True)


def test_the_environment_wins_over_the_current_context(environ: dict[str, str]) -> None:
    office = Context(server="https://office.example", key="secret")
    assert contexts.choose(None, environ) == office
    other = environ | {"ILIOS_SERVER": HERE}
    assert contexts.choose(None, other) == Context(server=HERE), "the key is for another server"
    assert contexts.choose(None, other | {"ILIOS_KEY": "k"}) == Context(server=HERE, key="k")
    assert contexts.choose(None, environ | {"ILIOS_KEY": "k"}).key == "k"
    assert contexts.choose("office", other) == office


def test_a_context_that_is_removed_or_unknown_is_not_used(environ: dict[str, str]) -> None:
    assert run_here("context", "remove", "office", stdin=b"", **environ).code == 0
    assert contexts.choose(None, environ) == Context(server=HERE)
    with pytest.raises(BadSettings, match="no context office"):
        contexts.choose("office", environ)


def test_what_cannot_be_a_context_is_refused(environ: dict[str, str]) -> None:
    for arguments in (("a b", HERE), ("a", "office.example")):
        assert run_here("context", "add", *arguments, stdin=b"", **environ).code == 2
    empty = run_here("context", "add", "a", HERE, "--key-file", "-", stdin=b"\n", **environ)
    assert (empty.code, "key" in empty.errors) == (2, True)


def test_bash_completes_commands_actions_and_options() -> None:
    script = run_here("completion", "bash").out

    def completed(*words: str) -> set[str]:
        line = " ".join(f"'{word}'" for word in words)
        asked = f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _ilios; echo ${{COMPREPLY[*]}}"
        ran = subprocess.run(
            ["bash", "-c", f"{script}\n{asked}"], capture_output=True, text=True, check=True
        )
        return set(ran.stdout.split())

    assert completed("ilios", "") == set(COMMANDS)
    assert {"--pages", "--concurrency", "--json"} <= completed("ilios", "batch", "--")
    assert completed("ilios", "context", "") == {"add", "use", "remove", "list"}
    assert completed("ilios", "batch", "") == set(), "files are the default of bash"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_every_command_as_well(shell: str) -> None:
    script = run_here("completion", shell)
    assert script.code == 0
    assert all(name in script.out for name in COMMANDS)
