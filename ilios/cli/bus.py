"""``ilios bus``: access to the bus of a service for the ``nats`` command, and its configuration."""

import argparse
import json
import os
import re
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bus.target import Target
from ilios.cli import ExitCode, command, printing
from ilios.data_directory import NoData, ensure_service_data
from ilios.nats.access import tenants_of
from ilios.nats.configuration import (
    PASSWORDS,
    PORT,
    ROUTE_PORT,
    SERVICE_FILE,
    STORE,
    nodes,
    write_configuration,
)
from ilios.nats.users import OPERATOR, publisher_name
from ilios.secret import write_private_file
from ilios.settings import values
from ilios.settings.settings import Settings

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_MARK = "ilios: "
"""Begins the descriptions of the contexts that this command writes, and may replace."""


class NoContext(Exception):
    """The context cannot be made; the message has the next step."""


class WrongHosts(Exception):
    """The servers that were named make no cluster; the message has the next step."""


class Access(NamedTuple):
    """Who a context is for, and the servers with the credentials."""

    who: str
    target: Target


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios bus``."""
    parser.description = (
        "Give people and programs access to the bus of a service, or configure one."
    )
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
    _configure_config(actions)


def _configure_config(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    config = actions.add_parser(
        "config",
        help="write the configuration of nats-servers of your own, one or a cluster of three",
        description="Write a file for each nats-server, with accounts and permissions of the "
        "service and of the publisher of each API_KEY, and files with the passwords, readable by "
        "you alone. Passwords of a former run stay. Exit code 0: written; 2: wrong usage; "
        "3: it cannot be.",
    )
    config.add_argument(
        "--nodes", type=int, choices=(1, 3), default=1, help="number of servers (default: 1)"
    )
    config.add_argument(
        "--host",
        action="append",
        metavar="HOST",
        help="host of a server, once for each (default: 127.0.0.1)",
    )
    config.add_argument("--output", type=Path, required=True, metavar="DIR", help="where to write")
    config.add_argument(
        "--store", default=STORE, help=f"directory of the server's log (default: {STORE})"
    )
    config.add_argument(
        "--port", type=int, default=PORT, help=f"port for clients (default: {PORT})"
    )
    config.add_argument(
        "--route-port",
        type=int,
        default=ROUTE_PORT,
        help=f"port for the other servers (default: {ROUTE_PORT})",
    )


def run(options: argparse.Namespace) -> int:
    """Write or print the context, or write a configuration; returns the exit code."""
    if options.what == "config":
        try:
            return command.run_on_data(partial(_write_config, options), cannot_start=(OSError,))
        except WrongHosts as error:
            printing.print_error(error)
            return ExitCode.USAGE

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


def _write_config(options: argparse.Namespace, settings: Settings) -> int:
    hosts = options.host or ["127.0.0.1"] * options.nodes
    if len(hosts) != options.nodes:
        raise WrongHosts(f"--nodes {options.nodes} needs --host as often, or not at all")
    for host in hosts:
        try:
            values.host(host)
        except ValueError as error:
            raise WrongHosts(f"--host: {error}") from error
    servers = nodes(hosts, options.store, options.port, options.route_port)
    for path in write_configuration(options.output, tenants_of(settings), servers):
        printing.write_stdout(f"{path}\n")
    printing.print_note(
        f"each server needs its file and {PASSWORDS} beside it; {SERVICE_FILE} is for the service"
    )
    return ExitCode.OK


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
    if settings.external_bus is not None:
        if tenant is not None:
            raise NoContext("the bus is yours (NATS_URL): its server has the users of publishers")
        return Access(OPERATOR, settings.external_bus)
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
    return Access(tenant or OPERATOR, Target.of(present[wanted].read_text().strip()))


def _context(settings: Settings, access: Access) -> str:
    """Return a context in the format of the nats command."""
    target = access.target
    origin = settings.data_dir.absolute() if settings.nats_url is None else "NATS_URL"
    members = {
        "description": f"{_MARK}{access.who} of {origin}",
        "url": ",".join(target.servers),
        **({"token": target.token} if target.token else {"user": target.user or ""}),
        "password": target.password or "",
    }
    files = {
        "creds": target.credentials_file,
        "nkey": target.seed_file,
        "cert": target.certificate_file,
        "key": target.key_file,
        "ca": target.ca_file,
    }
    members |= {name: str(Path(path).absolute()) for name, path in files.items() if path}
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
