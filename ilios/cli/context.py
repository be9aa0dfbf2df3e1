"""``ilios context``: names running services and their keys."""

import argparse
import os
import re
import sys
from getpass import getpass
from pathlib import Path

from ilios.cli import ExitCode, contexts, printing
from ilios.cli.contexts import Context
from ilios.client.connection import check_key, check_server
from ilios.settings.bad_settings import BadSettings
from ilios.visible import visible

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_KEY_BYTES = 4096


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios context``."""
    parser.description = (
        "Name running services and their keys, in a file of yours with mode 0600. ILIOS_SERVER "
        "and ILIOS_KEY take precedence over the current context."
    )
    actions = parser.add_subparsers(dest="action", required=True)
    add = actions.add_parser("add", help="add or replace a context, and use it")
    add.add_argument("name", metavar="NAME")
    add.add_argument("server", metavar="URL", help="such as https://ilios.example.com")
    add.add_argument(
        "--key-file",
        metavar="FILE",
        help="the key is the first line of this file; - reads stdin, on a terminal it is asked for",
    )
    use = actions.add_parser("use", help="use a context where none is named")
    use.add_argument("name", metavar="NAME")
    remove = actions.add_parser("remove", help="remove a context and its key")
    remove.add_argument("name", metavar="NAME")
    actions.add_parser("list", help="list the contexts, without their keys")


def run(options: argparse.Namespace) -> int:
    """Carry out ``options.action``."""
    path = contexts.file_of(os.environ)
    found = contexts.load(path)
    match options.action:
        case "list":
            for name, context in sorted(found.contexts.items()):
                mark = "*" if name == found.current else " "
                printing.write_stdout(f"{mark} {name}  {visible(context.server)}\n")
            return ExitCode.OK
        case "add":
            found.contexts[options.name] = _read_context(options)
            found.current = options.name
        case "use":
            found.named(options.name)
            found.current = options.name
        case "remove":
            found.named(options.name)
            del found.contexts[options.name]
            if found.current == options.name:
                found.current = None
    contexts.store(path, found)
    return ExitCode.OK


def _read_context(options: argparse.Namespace) -> Context:
    if not _NAME.fullmatch(options.name):
        raise BadSettings(["a name of a context has letters, digits, dots, dashes: up to 64"])
    try:
        check_server(options.server)
        key = None if options.key_file is None else _read_key(options.key_file)
        if key is not None:
            check_key(key)
    except ValueError as error:
        raise BadSettings([str(error)]) from error
    return Context(server=options.server, key=key)


def _read_key(file: str) -> str:
    if file == "-" and sys.stdin.isatty():
        return getpass("Key: ")
    try:
        if file == "-":
            line = sys.stdin.buffer.readline(MAX_KEY_BYTES)
        else:
            with Path(file).open("rb") as opened:
                line = opened.readline(MAX_KEY_BYTES)
    except OSError as error:
        raise BadSettings([f"--key-file: cannot read {file}: {error.strerror}"]) from error
    return line.decode("utf-8", "replace").strip()
