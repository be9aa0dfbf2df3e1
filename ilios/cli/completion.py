"""``ilios completion``: prints the completion of all commands for a shell."""

import argparse
import importlib
import re
from collections.abc import Mapping

from ilios.cli import ExitCode, printing

SHELLS = ("bash", "zsh", "fish")

BASH = """\
_ilios() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} words=
    if ((COMP_CWORD == 1)); then
        words="{commands}"
    else
        case ${{COMP_WORDS[1]}} in
{cases}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _ilios ilios
"""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_OPTIONAL = re.compile(r"\[[^\]]*\]")
_CHOICES = re.compile(r"\{([^}]*)\}")

ZSH = "#compdef ilios\nautoload -U +X bashcompinit && bashcompinit\n"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios completion``."""
    parser.description = (
        'Print the completion for a shell: eval "$(ilios completion bash)" in ~/.bashrc, the same '
        "with zsh in ~/.zshrc after compinit, or ilios completion fish | source."
    )
    parser.add_argument("shell", choices=SHELLS)


def run(options: argparse.Namespace) -> int:
    """Print the completion for ``options.shell``."""
    # The table of commands is in the module that imports the commands.
    commands: Mapping[str, str] = importlib.import_module("ilios.__main__").COMMANDS
    words = {name: _words(name) for name in commands}
    if options.shell == "fish":
        printing.write_stdout("".join(_fish(name, commands[name], words[name]) for name in words))
        return ExitCode.OK
    cases = "\n".join(_case(name, given) for name, given in words.items())
    script = BASH.format(commands=" ".join(words), cases=cases)
    printing.write_stdout((ZSH if options.shell == "zsh" else "") + script)
    return ExitCode.OK


def _words(name: str) -> list[str]:
    """Return the options and actions of a command; none if it is not installed."""
    try:
        command = importlib.import_module(f"ilios.cli.{name.replace('-', '_')}")
    except ModuleNotFoundError:
        return []
    parser = argparse.ArgumentParser(name, add_help=False)
    command.configure(parser)
    # argparse has no public list of what was added, but a usage that is made of it.
    usage = _COLOUR.sub("", parser.format_usage())
    actions = _CHOICES.findall(_OPTIONAL.sub("", usage))
    return [*_OPTION.findall(usage), *(one for group in actions for one in group.split(","))]


def _case(name: str, words: list[str]) -> str:
    """Return what a command is completed with: options after a dash, actions before, else files."""
    options = " ".join(one for one in words if one.startswith("-"))
    actions = " ".join(one for one in words if not one.startswith("-"))
    return (
        f"        {name}) if [[ $word == -* ]]; then words='{options}'; "
        f"elif ((COMP_CWORD == 2)); then words='{actions}'; fi ;;"
    )


def _fish(name: str, described: str, words: list[str]) -> str:
    text = described.replace("\\", "\\\\").replace("'", "\\'")
    lines = [f"complete -c ilios -n __fish_use_subcommand -f -a {name} -d '{text}'"]
    for word in words:
        given = f"-l {word.removeprefix('--')}" if word.startswith("--") else f"-f -a {word}"
        lines.append(f"complete -c ilios -n '__fish_seen_subcommand_from {name}' {given}")
    return "\n".join(lines) + "\n"
