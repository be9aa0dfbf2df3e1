"""The command ``ilios``: parses its arguments and runs one of its commands."""

import argparse
import gc
import importlib
import sys
from typing import Protocol

from ilios import __version__
from ilios.cli import ExitCode, printing
from ilios.settings.environ import BadSettings

COMMANDS = {
    "serve": "start the service with everything it needs inside",
    "run": "run workers on this host for a service on another one",
    "join": "work for the service on a NATS server, with settings that come from it",
    "status": "show the hosts of a service, their work in hand, and what waits",
    "pause": "have fetchers or converters take no work for a while, on every host",
    "resume": "end a pause",
    "drain": "have one host take no more work",
    "convert": "convert files here and now, without a service",
    "score": "measure what comes out of a directory of documents",
    "check": "show the settings in effect and whether the service could start with them",
    "blobs": "move the blobs of a stopped service to S3, or into a shared directory",
    "bus": "write a context of the nats command for the bus, or a configuration of your own NATS",
    "dead": "list, show, requeue and drop dead letters",
    "losses": "list events the log has lost, and the documents they concern",
    "database": "encrypt the database of a stopped service, or give it another key",
    "import-original": "take over the documents of the service that ilios replaces",
    "rebuild": "make the database again from a snapshot and the log",
    "chaos": "kill the service at random and verify that it keeps its promises",
}


class Command(Protocol):
    """A module of ``ilios.cli`` named like its command."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the description and the arguments of the command."""

    def run(self, options: argparse.Namespace) -> int:
        """Run the command and return its exit code."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code (``ilios.cli.ExitCode``)."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="ilios",
        description="Turns documents (PDF, images, Office files and others) into Markdown.",
    )
    parser.add_argument("--version", action="version", version=f"ilios {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parsers = {name: commands.add_parser(name, help=text) for name, text in COMMANDS.items()}
    name = next((argument for argument in given if not argument.startswith("-")), "")
    if name not in parsers:
        parser.parse_args(given)  # prints the help, the version or what is wrong, and exits
    # Only this one: `ilios convert` must not wait for the web server, which it never starts. What
    # modules define stays: looking for garbage in it would be a fifth of the time.
    gc.disable()
    command: Command = importlib.import_module(f"ilios.cli.{name.replace('-', '_')}")
    gc.enable()
    command.configure(parsers[name])
    options = parser.parse_args(given)
    try:
        return command.run(options)
    except BadSettings as error:
        printing.print_problems(error.problems)
        return ExitCode.USAGE
    except printing.CannotPrint as error:
        printing.print_error(error)
        return ExitCode.SOME_FAILED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
