"""``ilios check``: the settings in effect, secrets masked, and what is wrong with them."""

import argparse
import asyncio
import os
import sys

from actors.engines import EngineCrashed
from ilios import open_files
from ilios import settings as table
from ilios.cli import exit_codes, printing
from ilios.engines import sandbox, self_test
from ilios.engines.local import LocalEngine
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
        *asyncio.run(_tried(settings)),
    ):
        print(f"warning: {warning}", file=sys.stderr)
    return exit_codes.OK


async def _tried(settings: table.Settings) -> list[str]:
    """Return what an engine process finds on a machine that its filter was not recorded on."""
    if settings.sandbox == "off" or self_test.is_recorded():
        return []
    try:
        async with LocalEngine(settings.engine_limits) as engine:
            await engine.check()
            return [f"ILIOS_SANDBOX: {settings.sandbox}, but {what}" for what in engine.exposed]
    except EngineCrashed as error:
        return [f"nothing will be converted: {error.reason}"]


def print_problems(error: table.BadSettings) -> None:
    """Say on stderr what has to be changed."""
    for problem in error.problems:
        print(f"ilios: {problem}", file=sys.stderr)


def hint(key: table.Secret) -> str:
    """Return as much of a key as tells its owner which one it is, and nobody else what it is."""
    text = key.reveal()
    return f"{text[:HINT_LENGTH]}…" if len(text) >= LONG_ENOUGH else str(key)
