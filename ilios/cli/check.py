"""``ilios check``: the settings in effect, secrets masked, and what is wrong with them."""

import argparse
import os
import sys

from ilios import settings as table
from ilios.cli import exit_codes


def run(_options: argparse.Namespace) -> int:
    """Print the table and the problems; returns the exit code."""
    environ = os.environ
    try:
        settings = table.from_environ(environ)
    except table.BadSettings as error:
        print_problems(error)
        return exit_codes.USAGE
    width = max(len(setting.variable) for setting in table.TABLE)
    for setting in table.TABLE:
        origin = "environment" if environ.get(setting.variable, "").strip() else "default"
        value = getattr(settings, setting.field)
        print(f"{setting.variable:<{width}}  {show(value):<24} {origin:<12} {setting.why}")
    for warning in table.warnings(environ):
        print(f"warning: {warning}", file=sys.stderr)
    return exit_codes.OK


def print_problems(error: table.BadSettings) -> None:
    """Say on stderr what has to be changed."""
    for problem in error.problems:
        print(f"ilios: {problem}", file=sys.stderr)


def show(value: object) -> str:
    """Show a setting's value; a secret shows as ``***``."""
    if value is None or value == ():
        return "-"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)
