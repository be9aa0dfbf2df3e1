"""The command ``ilios``: parses its arguments and runs one of its commands."""

import argparse
import gc
import importlib
import sys
from typing import Protocol

from ilios import __version__
from ilios.cli import ExitCode, printing
from ilios.settings.bad_settings import BadSettings

COMMANDS = {
    "serve": "start the service with everything it needs inside",
    "run": "run workers on this host for a service on another one",
    "join": "work for the service on a NATS server, with settings that come from it",
    "status": "show the hosts of a service, their work in hand, and what waits",
    "pause": "have fetchers or converters take no work for a while, on every host",
    "resume": "end a pause",
    "drain": "have one host take no more work",
    "submit": "submit documents to a running service",
    "show": "show the state of documents of a running service",
    "get": "print or write what was made of a document of a running service",
    "list": "list documents of a running service",
    "watch": "print events of a running service as they happen",
    "cancel": "cancel or delete documents of a running service",
    "batch": "convert a directory by a running service; goes on after an interruption",
    "context": "name running services and their keys",
    "completion": "print the completion of these commands for a shell",
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
    try:
        command: Command = importlib.import_module(f"ilios.cli.{name.replace('-', '_')}")
    except ModuleNotFoundError as error:
        return _without(name, error)
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


def _without(name: str, error: ModuleNotFoundError) -> int:
    """Explain why a command is not there: the client alone is installed."""
    if (error.name or "").split(".")[0] in ("ilios", "actors", "bus", "schemas"):
        raise error
    printing.write_stderr(
        f"ilios: `ilios {name}` needs {error.name}, which the client alone does not bring: install "
        "it with its extra, as `pip install 'ilios[serve]'`"
    )
    return ExitCode.USAGE


if __name__ == "__main__":
    sys.exit(main())
