"""``ilios check``: shows the settings, their problems, and whether the service could start."""

import argparse
import asyncio
import os
import sys
from collections.abc import Collection, Iterator

from actors.engines import EngineCrashed
from ilios import api_keys
from ilios.api_keys import tenant_of
from ilios.cli import ExitCode, preflight, printing
from ilios.cli.preflight import Finding, problem, warning
from ilios.engines.converters import heif
from ilios.engines.converters.old_office import libreoffice
from ilios.engines.local import self_test
from ilios.engines.local.engine import LocalEngine
from ilios.engines.sandbox import enter
from ilios.runtime import engine_memory, process_settings
from ilios.secret import Secret
from ilios.settings import environ
from ilios.settings.bad_settings import BadSettings
from ilios.settings.settings import TABLE, Settings

HINT_LENGTH = 4  # characters of a key
MIN_HINTED_LENGTH = 12  # characters of a key of which some may be shown


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios check``: none."""
    parser.description = (
        "Show every setting, where it comes from, and what is wrong; try directories, ports, a bus "
        "and a bucket of yours, without leaving anything there. "
        "Exit code 0: ready to start; 2: settings cannot be used; 3: something they name cannot be."
    )


def run(_options: argparse.Namespace) -> int:
    """Print the settings, the findings and a verdict; returns the exit code."""
    try:
        from_file = environ.add_env_file(os.environ, environ.ENV_FILE)
        settings = environ.from_environ(os.environ)
    except BadSettings as error:
        # A misspelt variable may be the one that is missing.
        _print_warnings(environ.warnings(os.environ))
        printing.print_problems(error.problems)
        return _print_verdict(
            f"Not ready to start: {_pluralized(len(error.problems), 'problem')}.", ExitCode.USAGE
        )
    running = preflight.is_locked(settings.data_dir)
    try:
        printing.write_stdout("".join(f"{line}\n" for line in _setting_lines(settings, from_file)))
        findings = list(_findings(settings, running=running))
        good = [finding.text for finding in findings if finding.level == "ok"]
        printing.write_stdout(
            "".join(f"{line}\n" for line in ("", "Tried:", *(f"  {t}" for t in good)))
        )
    except printing.CannotPrint as error:
        printing.print_error(error)
        return ExitCode.SOME_FAILED
    warned = [finding.text for finding in findings if finding.level == "warning"]
    problems = [finding.text for finding in findings if finding.level == "problem"]
    _print_warnings(warned)
    printing.print_problems(problems)
    if problems:
        verdict = f"Not ready to start: {_pluralized(len(problems), 'problem')}."
        return _print_verdict(verdict, ExitCode.CANNOT_START)
    verdict = "Ready to start"
    if running:
        verdict = "A running ilios uses this data directory; ready to start once that has stopped"
    if warned:
        verdict += f", with {_pluralized(len(warned), 'warning')}"
    return _print_verdict(f"{verdict}.", ExitCode.OK)


async def _run_self_test(settings: Settings) -> list[Finding]:
    """Return findings of an engine process, on machines where its filter was not recorded."""
    if settings.sandbox == "off" or self_test.is_recorded():
        return []
    try:
        async with LocalEngine(settings.engine_limits) as engine:
            await engine.check()
            exposed = f"ILIOS_SANDBOX: {settings.sandbox}, but"
            return [warning(f"{exposed} {what}") for what in engine.sandbox_gaps]
    except EngineCrashed as error:
        return [problem(f"nothing will be converted: {error.reason}")]


def key_hint(key: Secret) -> str:
    """Return the first characters of a long key, which its owner recognises; else ``***``."""
    text = key.get_secret_value()
    return f"{text[:HINT_LENGTH]}…" if len(text) >= MIN_HINTED_LENGTH else str(key)


def _setting_lines(settings: Settings, from_file: Collection[str]) -> Iterator[str]:
    width = max(len(setting.variable) for setting in TABLE)
    for setting in TABLE:
        origin = "default"
        if os.environ.get(setting.variable, "").strip():
            origin = str(environ.ENV_FILE) if setting.variable in from_file else "environment"
        value = setting.format(settings)
        yield f"{setting.variable:<{width}}  {value:<24} {origin:<12} {setting.description}"
    if settings.api_keys:
        yield from ("", "On the bus, the documents of each key are those of its tenant:")
        for place, key in enumerate(settings.api_keys, 1):
            yield f"  {place}.  {key_hint(key)}  {tenant_of(key.get_secret_value())}"


def _findings(settings: Settings, *, running: bool) -> Iterator[Finding]:
    for text in (
        *environ.warnings(os.environ),
        *api_keys.warnings(settings.api_keys),
        *process_settings.file_limit_warnings(settings.max_connections),
        *enter.sandbox_warnings(settings.sandbox),
        *heif.decoder_warnings(settings.heif),
        *libreoffice.warnings(settings.libreoffice),
        *engine_memory.warnings(
            os.environ, settings.engine_memory_bytes, settings.engine_processes
        ),
    ):
        yield warning(text)
    program = libreoffice.find(settings.libreoffice)
    how = f"converted by LibreOffice in {program}" if program else "refused, without LibreOffice"
    yield preflight.ok(f"ILIOS_LIBREOFFICE: DOC, XLS and PPT are {how}")
    yield from preflight.check_directories(settings)
    yield from preflight.check_ports(settings, running=running)
    yield from asyncio.run(_run_self_test(settings))
    places = (settings.data_dir, settings.snapshots_dir, settings.database_path)
    if (
        any(place.exists() for place in places)
        or settings.nats_url is not None
        or settings.s3 is not None
    ):
        yield from preflight.check_stores(settings)


def _print_warnings(warnings: list[str]) -> None:
    for text in warnings:
        print(f"warning: {text}", file=sys.stderr)


def _print_verdict(verdict: str, code: int) -> int:
    """Print the last line, after everything on stderr; return the exit code."""
    sys.stderr.flush()
    try:
        printing.write_stdout(f"\n{verdict}\n")
    except printing.CannotPrint as error:
        printing.print_error(error)
        return code or ExitCode.SOME_FAILED
    return code


def _pluralized(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
