"""``ilios check``: the settings in effect, secrets masked, and what is wrong with them."""

import argparse
import os
import sys

from ilios import engine_memory, open_files
from ilios import settings as table
from ilios.cli import exit_codes, printing
from ilios.engines import sandbox
from ilios.tenants import tenant_of

HINT_LENGTH = 4  # characters of a key
LONG_ENOUGH = 12  # characters of a key of which some may be shown


def run(_options: argparse.Namespace) -> int:
    """Print the table and the problems; returns the exit code."""
    environ = os.environ
    try:
        settings = table.from_environ(environ)
    except table.BadSettings as error:
        print_problems(error)
        return exit_codes.USAGE
    width = max(len(setting.variable) for setting in table.TABLE)
    lines = []
    for setting in table.TABLE:
        origin = "environment" if environ.get(setting.variable, "").strip() else "default"
        value = setting.show(settings)
        lines.append(f"{setting.variable:<{width}}  {value:<24} {origin:<12} {setting.why}")
    if settings.api_keys:
        lines += ["", "On the bus, the documents of each key are those of its tenant:"]
        lines += [
            f"  {place}.  {hint(key)}  {tenant_of(key.reveal())}"
            for place, key in enumerate(settings.api_keys, 1)
        ]
    try:
        printing.say("".join(f"{line}\n" for line in lines))
    except printing.CannotPrint as error:
        printing.complain(error)
        return exit_codes.SOME_FAILED
    for warning in (
        *table.warnings(environ),
        *open_files.warnings(settings.max_connections),
        *sandbox.warnings(settings.sandbox),
        *engine_memory.warnings(environ, settings.engine_memory_bytes, settings.engine_processes),
    ):
        print(f"warning: {warning}", file=sys.stderr)
    return exit_codes.OK


def print_problems(error: table.BadSettings) -> None:
    """Say on stderr what has to be changed."""
    for problem in error.problems:
        print(f"ilios: {problem}", file=sys.stderr)


def hint(key: table.Secret) -> str:
    """Return as much of a key as tells its owner which one it is, and nobody else what it is."""
    text = key.reveal()
    return f"{text[:HINT_LENGTH]}…" if len(text) >= LONG_ENOUGH else str(key)
