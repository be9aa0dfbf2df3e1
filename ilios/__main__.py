"""``ilios``: serve, convert, check, dead, losses, rebuild, chaos."""

import argparse
import importlib
import sys
from typing import TYPE_CHECKING

from ilios import __version__

COMMANDS = {
    name: f"ilios.cli.{name}"
    for name in ("serve", "convert", "check", "dead", "losses", "rebuild", "chaos")
}

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  # it has no other


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code (``ilios.cli.exit_codes``)."""
    options = _parser().parse_args(arguments)
    # By name, so that `ilios convert` does not wait for the web server it never starts.
    command = importlib.import_module(COMMANDS[options.command])
    code: int = command.run(options)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ilios", description="Turns documents (PDF, images, DOCX, PPTX) into Markdown."
    )
    parser.add_argument("--version", action="version", version=f"ilios {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser(
        "serve",
        help="start the service with everything it needs inside",
        description="Start the service. Settings come from the environment; see `ilios check`.",
    )
    commands.add_parser(
        "check",
        help="show the settings in effect and whether the service could start with them",
        description="Show every setting, where it comes from, and what is wrong; try directories, "
        "ports, a bus and a bucket of yours, without leaving anything there. "
        "Exit code 0: ready to start; 2: settings cannot be used; 3: something it needs cannot be.",
    )
    _add_convert(commands)
    _add_dead(commands)
    _add_losses(commands)
    _add_rebuild(commands)
    _add_chaos(commands)
    return parser


def _add_convert(commands: "Commands") -> None:
    parser = commands.add_parser(
        "convert",
        help="convert files here and now, without a service",
        description="Convert files and print the Markdown, or write it. "
        "Exit code 0: all converted; 1: some failed; 2: wrong usage.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a document; - reads stdin")
    parser.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        help="write here: a directory (one FILE.md per document), or a file for one document",
    )
    parser.add_argument(
        "--format",
        choices=("markdown", "json"),
        default="markdown",
        help="markdown (default), or one JSON object a line with pages and metadata",
    )
    parser.add_argument(
        "--pages",
        metavar="RANGES",
        help="convert these pages only, counted from 1, such as 1-3,7,10-",
    )


def _add_dead(commands: "Commands") -> None:
    parser = commands.add_parser(
        "dead",
        help="dead letters: events nobody could work on",
        description="Look at dead letters and decide what becomes of them, also while the service "
        "runs. Exit code 0: done; 1: some could not be; 3: the bus cannot be reached.",
    )
    actions = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    for what, help_text in (
        ("list", "list them, the oldest first"),
        ("show", "show one with the body of its event"),
        ("requeue", "have it tried again: its document counts as not failed any more"),
        ("drop", "clear it away; its document stays as it is"),
    ):
        action = actions.add_parser(what, help=help_text)
        action.add_argument("--tenant", help="of one tenant only (with --all, or in the list)")
        if what == "list":
            action.add_argument("--json", action="store_true", help="one JSON object a line")
            continue
        which = action.add_mutually_exclusive_group(required=True)
        which.add_argument("--all", action="store_true", help="all of them")
        which.add_argument("numbers", type=int, nargs="*", default=[], metavar="NUMBER")


def _add_losses(commands: "Commands") -> None:
    parser = commands.add_parser(
        "losses",
        help="what the log has lost, and which documents that concerns",
        description="List events that are gone from the log before their time, documents that wait "
        "for one of them, and originals that no document owns; also while the service runs. "
        "Exit code 0: nothing stands; 1: something does.",
    )
    parser.add_argument(
        "--accept",
        action="store_true",
        help="you have seen to them: the service is ready again, and keeps those originals",
    )


def _add_rebuild(commands: "Commands") -> None:
    parser = commands.add_parser(
        "rebuild",
        help="make the database anew from a snapshot and the log",
        description="Make the database anew beside the old one, hold it against the log and the "
        "old one, and put it in its place if that proves it. The service must not run. "
        "Exit code 0: it is in order, or was made anew; 1: it was not, and why; 3: it cannot be.",
    )
    parser.add_argument("--check", action="store_true", help="change nothing, only say what is")
    parser.add_argument(
        "--accept-gap",
        action="store_true",
        help="also where the log does not reach back to the snapshot, or rows would be given up",
    )
    parser.add_argument(
        "--snapshot",
        metavar="NAME",
        help="begin with this one, or with `none`; default: the one that knows most",
    )


def _add_chaos(commands: "Commands") -> None:
    parser = commands.add_parser(
        "chaos",
        help="try to break it: kill the service at random and check what it has promised",
        description="Run the service in a directory of its own, hand in documents, kill at random "
        "the service, its bus and its engine processes, and hold what was promised against what "
        "became of it. Exit code 0: every promise was kept; 1: one was broken; "
        "3: the service does not start.",
    )
    parser.add_argument("--documents", type=int, default=300, help="to be accepted (300)")
    parser.add_argument(
        "--kills", type=int, default=40, help="and a pause for every 8 of them (40)"
    )
    parser.add_argument("--seed", type=int, help="of faults and documents; default: a new one")
    parser.add_argument("--clients", type=int, default=8, help="at the same time (8)")
    parser.add_argument(
        "--within",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="after the last fault every document must have ended, 99 of 100 in half of it (30)",
    )
    parser.add_argument(
        "--directory", metavar="PATH", help="an empty one; default: a temporary one"
    )
    parser.add_argument("--keep", action="store_true", help="do not remove the directory")
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")


if __name__ == "__main__":
    sys.exit(main())
