"""``ilios check``: the settings in effect, what is wrong with them, and whether they would work."""

import argparse
import asyncio
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Protocol

from actors.engines import EngineCrashed
from ilios import api_keys
from ilios.cli import exit_codes, printing
from ilios.engines.local import self_test
from ilios.engines.local.engine import LocalEngine
from ilios.engines.sandbox import enter
from ilios.preflight import directories, ports
from ilios.preflight.findings import Finding, problem, warning
from ilios.runtime import engine_memory, open_files
from ilios.settings import settings as table
from ilios.tenants import tenant_of

HINT_LENGTH = 4  # characters of a key
MIN_HINTED_LENGTH = 12  # characters of a key of which some may be shown
DATABASE_MODULE, REMOTE_MODULE = "ilios.preflight.database", "ilios.preflight.remote"
"""They load libraries that take a while, so only where there is something to try."""


class _Preflight(Protocol):
    def check(self, settings: table.Settings) -> Iterator[Finding]: ...


def run(_options: argparse.Namespace) -> int:
    """Print the table, what was tried, and a verdict; returns the exit code."""
    environ = os.environ
    try:
        settings = table.from_environ(environ)
    except table.BadSettings as error:
        # What is misspelt may be the very thing that is missing.
        _print_warnings(table.warnings(environ))
        print_problems(error)
        return _print_verdict(
            f"Not ready to start: {_pluralized(len(error.problems), 'problem')}.", exit_codes.USAGE
        )
    running = directories.is_locked(settings.data_dir)
    try:
        printing.write_stdout("".join(f"{line}\n" for line in _setting_lines(settings)))
        findings = list(_findings(settings, running=running))
        good = [finding.text for finding in findings if finding.level == "ok"]
        printing.write_stdout(
            "".join(f"{line}\n" for line in ("", "Tried:", *(f"  {t}" for t in good)))
        )
    except printing.CannotPrint as error:
        printing.print_error(error)
        return exit_codes.SOME_FAILED
    warned = [finding.text for finding in findings if finding.level == "warning"]
    problems = [finding.text for finding in findings if finding.level == "problem"]
    _print_warnings(warned)
    print_problems(table.BadSettings(problems))
    if problems:
        verdict = f"Not ready to start: {_pluralized(len(problems), 'problem')}."
        return _print_verdict(verdict, exit_codes.CANNOT_START)
    verdict = "Ready to start"
    if running:
        verdict = "A running ilios uses this data directory; ready to start once that has stopped"
    if warned:
        verdict += f", with {_pluralized(len(warned), 'warning')}"
    return _print_verdict(f"{verdict}.", exit_codes.OK)


async def _run_self_test(settings: table.Settings) -> list[Finding]:
    """Return what an engine process finds on a machine that its filter was not recorded on."""
    if settings.sandbox == "off" or self_test.is_recorded():
        return []
    try:
        async with LocalEngine(settings.engine_limits) as engine:
            await engine.check()
            exposed = f"ILIOS_SANDBOX: {settings.sandbox}, but"
            return [warning(f"{exposed} {what}") for what in engine.sandbox_gaps]
    except EngineCrashed as error:
        return [problem(f"nothing will be converted: {error.reason}")]


def print_problems(error: table.BadSettings) -> None:
    """Say on stderr what has to be changed."""
    for sentence in error.problems:
        print(f"ilios: {sentence}", file=sys.stderr)


def key_hint(key: table.Secret) -> str:
    """Return as much of a key as tells its owner which one it is, and nobody else what it is."""
    text = key.get_secret_value()
    return f"{text[:HINT_LENGTH]}…" if len(text) >= MIN_HINTED_LENGTH else str(key)


def _setting_lines(settings: table.Settings) -> Iterator[str]:
    width = max(len(setting.variable) for setting in table.TABLE)
    for setting in table.TABLE:
        origin = "environment" if os.environ.get(setting.variable, "").strip() else "default"
        value = setting.format(settings)
        yield f"{setting.variable:<{width}}  {value:<24} {origin:<12} {setting.description}"
    if settings.api_keys:
        yield from ("", "On the bus, the documents of each key are those of its tenant:")
        for place, key in enumerate(settings.api_keys, 1):
            yield f"  {place}.  {key_hint(key)}  {tenant_of(key.get_secret_value())}"


def _findings(settings: table.Settings, *, running: bool) -> Iterator[Finding]:
    for text in (
        *table.warnings(os.environ),
        *api_keys.warnings(settings.api_keys),
        *open_files.warnings(settings.max_connections),
        *enter.sandbox_warnings(settings.sandbox),
        *engine_memory.warnings(
            os.environ, settings.engine_memory_bytes, settings.engine_processes
        ),
    ):
        yield warning(text)
    yield from directories.check(settings)
    if settings.snapshots_dir.is_dir():
        yield from _load_preflight(DATABASE_MODULE).check(settings)
    yield from ports.check(settings, running=running)
    yield from asyncio.run(_run_self_test(settings))
    if settings.nats_url is not None or settings.s3 is not None:
        yield from _load_preflight(REMOTE_MODULE).check(settings)


def _load_preflight(module: str) -> _Preflight:
    found: _Preflight = import_module(module)
    return found


def _print_warnings(warnings: list[str]) -> None:
    for text in warnings:
        print(f"warning: {text}", file=sys.stderr)


def _print_verdict(verdict: str, code: int) -> int:
    """Print the last line of all, after what stderr has; return the exit code."""
    sys.stderr.flush()
    try:
        printing.write_stdout(f"\n{verdict}\n")
    except printing.CannotPrint as error:
        printing.print_error(error)
        return code or exit_codes.SOME_FAILED
    return code


def _pluralized(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
