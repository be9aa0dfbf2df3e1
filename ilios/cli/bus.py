"""``ilios bus``: access to the bus of a service for the ``nats`` command."""

import argparse
import json
import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from ilios.cli import ExitCode, command, printing
from ilios.data_directory import NoData, ensure_service_data
from ilios.nats.users import OPERATOR, publisher_name
from ilios.secret import write_private_file
from ilios.settings.settings import Settings

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_MARK = "ilios: "
"""Begins the descriptions of the contexts that this command writes, and may replace."""


class NoContext(Exception):
    """The context cannot be made; the message has the next step."""


class Access(NamedTuple):
    """Who a context is for, and the URL with the credentials."""

    who: str
    url: SplitResult


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios bus``."""
    parser.description = "Give people and programs access to the bus of a service."
    actions = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    context = actions.add_parser(
        "context",
        help="write a context of the nats command: address, user and password",
        description="Write a context of the nats command (ADR-21), readable by you alone, for the "
        "operator or the publisher of a tenant. Write it again when port or password change. "
        "Exit code 0: written; 3: it cannot be.",
    )
    context.add_argument(
        "--tenant", help="for the publisher of this tenant, instead of the operator"
    )
    context.add_argument(
        "--name", help="name of the context (default: ilios-operator or ilios-TENANT)"
    )
    context.add_argument(
        "--stdout", action="store_true", help="print it with its password instead of writing a file"
    )


def run(options: argparse.Namespace) -> int:
    """Write or print the context; returns the exit code."""

    def work(settings: Settings) -> int:
        access = _find_access(settings, options.tenant)
        context = _context(settings, access)
        if options.stdout:
            printing.write_stdout(context)
            return ExitCode.OK
        name = options.name or f"ilios-{access.who}"
        if not _NAME.match(name):
            raise NoContext(f"{name!r} is no name of a context: use letters, digits, - and _")
        path = contexts_directory() / f"{name}.json"
        _write(path, context)
        printing.write_stdout(f"{path}\n")
        printing.print_note(f"use it with: nats --context {name} ...")
        return ExitCode.OK

    return command.run_on_data(work, cannot_start=(NoContext, OSError))


def contexts_directory() -> Path:
    """Return the directory in which the nats command looks for contexts."""
    configured = os.environ.get("XDG_CONFIG_HOME")
    try:
        root = Path(configured) if configured else Path.home() / ".config"
    except RuntimeError as error:
        raise NoContext("you have no home directory: set XDG_CONFIG_HOME") from error
    return root / "nats" / "context"


def _find_access(settings: Settings, tenant: str | None) -> Access:
    """Return the URL of the operator, or of the publisher of a tenant.

    :raises NoData, NoContext: there is none.
    """
    if settings.nats_url is not None:
        if tenant is not None:
            raise NoContext("the bus is yours (NATS_URL): its server has the users of publishers")
        return Access(OPERATOR, urlsplit(settings.nats_url.get_secret_value()))
    ensure_service_data(settings)
    directory = settings.data_dir.absolute() / "nats"
    # Not joined to a path before it is found: it is what somebody has typed.
    present = {path.stem: path for path in directory.glob("*.url")}
    wanted = OPERATOR if tenant is None else publisher_name(tenant)
    if wanted not in present:
        tenants = sorted(
            stem.removeprefix(publisher_name("")) for stem in present if stem.count("-")
        )
        if tenant is None or not tenants:
            raise NoData(f"no service has made {directory / OPERATOR}.url yet: start it once")
        raise NoContext(f"there is no publisher of a tenant {tenant!r}, only: {', '.join(tenants)}")
    return Access(tenant or OPERATOR, urlsplit(present[wanted].read_text().strip()))


def _context(settings: Settings, access: Access) -> str:
    """Return a context in the format of the nats command."""
    url = access.url
    port = f":{url.port}" if url.port else ""
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    origin = settings.data_dir.absolute() if settings.nats_url is None else "NATS_URL"
    user, password = unquote(url.username or ""), unquote(url.password or "")
    token = {"token": user} if user and url.password is None else {"user": user}
    members = {
        "description": f"{_MARK}{access.who} of {origin}",
        "url": f"{url.scheme}://{host}{port}",
        **token,
        "password": password,
    }
    return json.dumps(members, indent=2) + "\n"


def _write(path: Path, context: str) -> None:
    """Write a context, unless another program has made one of this name.

    :raises NoContext: another one has.
    """
    if os.path.lexists(path) and not _is_ours(path):
        raise NoContext(f"{path} was not made by this command: delete it, or choose a --name")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private_file(path, context)


def _is_ours(path: Path) -> bool:
    try:
        found = json.loads(path.read_text())
    except ValueError:
        return False
    return isinstance(found, dict) and str(found.get("description", "")).startswith(_MARK)
