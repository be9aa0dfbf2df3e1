"""Configuration files of nats-servers of the operator: one, or the nodes of a cluster.

Subjects and permissions are those of ``nats.conf`` and of the publishers' accounts. As the service
has one user on such a bus, that user has the permissions of all roles, in one account.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from bus.connection import INBOX_PREFIX
from ilios.nats.users import OPERATOR, Users, publisher_name, template
from ilios.secret import generate_password, load_or_create_secrets, write_private_file

SERVICE = "ilios"
"""The user of the service."""
PORT, ROUTE_PORT = 4222, 6222
"""Where the first node of a host listens, for clients and for other nodes."""
STORE = "/var/lib/nats"
PASSWORDS = "passwords.conf"  # included by the file of each node
SERVICE_FILE = "ilios.env"
SECRETS = "secrets.json"

OF_OTHER_HOSTS = {
    "ilios.cluster.>",
    "ilios.attempts.>",
    "ilios.janitor.epoch.*",
    "$JS.API.DIRECT.GET.ILIOS_CLUSTER.>",
    "$JS.API.DIRECT.GET.ILIOS_ATTEMPTS.>",
    "$JS.API.CONSUMER.PAUSE.ILIOS_EVENTS.*",
    "$SRV.STATS.ilios-core",
    "$SRV.STATS.ilios-worker",
}
"""Subjects to which only a core with other hosts publishes, and commands with its settings."""
OTHER_HOSTS_ANSWER = {"$SRV.*.ilios-worker", "$SRV.*.ilios-worker.*"}
"""Subjects of requests that only other hosts answer."""
_ROUTES_USER = "routes"
_COMMENT = re.compile(r"\s*#[^\n]*")
_USER = re.compile(r"\{ user: (\w+), password: \S+\s+permissions \{(.*?)\n {8}\} \}", re.DOTALL)
_OPERATION = re.compile(r"(publish|subscribe) \{(.*?\])\s*\}", re.DOTALL)
_LIST = re.compile(r"(allow|deny): \[(.*?)\]", re.DOTALL)
_EXPORT = re.compile(r"\{ (?:service|stream): \"[^\"]+\"[^{}]*\}")
_SUBJECT = re.compile(r'"([^"]+)"')


class _Secrets(Struct, frozen=True):
    routes: str
    service: str


class Node(Struct, frozen=True):
    """One server: where clients and other nodes reach it, and where it stores."""

    name: str
    host: str
    port: int
    route_port: int
    store: str


def nodes(hosts: Sequence[str], store: str, port: int, route_port: int) -> list[Node]:
    """Return a node for each host; further ones of the same host have the next ports."""
    found: list[Node] = []
    for number, host in enumerate(hosts, 1):
        before = hosts[: number - 1].count(host)
        name = f"ilios-{number}"
        place = f"{store}/{name}" if hosts.count(host) > 1 else store
        found.append(Node(name, host, port + before, route_port + before, place))
    return found


def write_configuration(
    directory: Path, tenants: Iterable[str], servers: Sequence[Node]
) -> list[Path]:
    """Write a file for each node, one with all passwords, and those with URLs; return their paths.

    Passwords that are there from a former run stay.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    names = tuple(tenants)
    users = Users(directory, names)
    secrets = load_or_create_secrets(
        directory / SECRETS, _Secrets, lambda: _Secrets(generate_password(), generate_password())
    )
    written = {PASSWORDS: _passwords(users, secrets, servers)}
    accounts = _accounts(users)
    for node in servers:
        written[f"{node.name}.conf"] = _node(node, users, clustered=len(servers) > 1) + accounts
    urls = ",".join(f"nats://{_address(node.host, node.port)}" for node in servers)
    written[SERVICE_FILE] = (
        f"NATS_URL={urls}\nNATS_USER={SERVICE}\nNATS_PASSWORD={secrets.service}\n"
    )
    for user in (OPERATOR, *map(publisher_name, names)):
        with_user = urls.replace("nats://", f"nats://{user}:{users.password(user)}@")
        written[f"{user}.url"] = f"{with_user}\n"
    for name, text in written.items():
        write_private_file(directory / name, text)
    return [directory / name for name in written]


def _passwords(users: Users, secrets: _Secrets, servers: Sequence[Node]) -> str:
    routes = ", ".join(
        f'"nats-route://{_ROUTES_USER}:{secrets.routes}@{_address(node.host, node.route_port)}"'
        for node in servers
    )
    own = {
        "ILIOS_NATS_SERVICE_PASSWORD": secrets.service,
        "ILIOS_NATS_ROUTES_PASSWORD": secrets.routes,
    }
    used = {
        name: text
        for name, text in users.environment().items()
        if "PUBLISHER" in name or "OPERATOR" in name
    }
    variables = [f"{name}: {text}" for name, text in (own | used).items()]
    if len(servers) == 1:
        return "\n".join(one for one in variables if "ROUTES" not in one) + "\n"
    return "\n".join((*variables, f"ILIOS_NATS_ROUTES: [{routes}]")) + "\n"


def _node(node: Node, users: Users, *, clustered: bool) -> str:
    """Return the part of a node: the settings of nats.conf, with its own addresses."""
    settings = template().partition("accounts {")[0].partition("\nserver_name:")[2]
    values = {
        "$ILIOS_NATS_PORT": str(node.port),
        "$ILIOS_NATS_MAX_CONNECTIONS": str(users.max_connections),
        "$ILIOS_NATS_STORE": msgspec.json.encode(node.store).decode(),
    }
    for variable, value in values.items():
        settings = settings.replace(variable, value)
    # The server takes what the volume has. It listens where its host has this address.
    settings = re.sub(r"\n\s*#[^\n]*\n\s*max_file_store:[^\n]*", "", settings)
    settings = settings.replace("host: 127.0.0.1", f'host: "{_listen(node.host)}"')
    settings = settings.replace(" ilios\n", f"\nserver_name: {node.name}\n", 1)
    cluster = f"""cluster {{
  name: ilios
  host: "{_listen(node.host)}"
  port: {node.route_port}
  routes: $ILIOS_NATS_ROUTES
  authorization {{ user: {_ROUTES_USER}, password: $ILIOS_NATS_ROUTES_PASSWORD, timeout: 2 }}
}}

"""
    start = f"# Made by `ilios bus config`.\n\ninclude {PASSWORDS}\n"
    return start + settings + (cluster if clustered else "")


def _accounts(users: Users) -> str:
    text = _COMMENT.sub("", template())
    exports = "\n      ".join(_exports(text))
    publishers = users.publisher_accounts.replace("account: EDGE", "account: ILIOS")
    return f"""accounts {{
  ILIOS {{
    jetstream: enabled
    users: [
      {{ user: {OPERATOR}, password: $ILIOS_NATS_OPERATOR_PASSWORD }}
      {{ user: {SERVICE}, password: $ILIOS_NATS_SERVICE_PASSWORD,
        permissions {{
          publish {{ {_permissions(text, "publish", f"{INBOX_PREFIX}.persister.presence")} }}
          subscribe {{ {_permissions(text, "subscribe", f"{INBOX_PREFIX}.>")} }}
          allow_responses: {{ max: 1, expires: "24h" }}
        }} }}
    ]
    exports: [
      {exports}
    ]
  }}
{publishers}}}
"""


def _exports(text: str) -> Iterator[str]:
    """Yield what publishers may import, without what the accounts of the service exchange."""
    for found in _EXPORT.findall(text):
        if "accounts:" not in found:
            yield found


def _permissions(text: str, operation: str, own: str) -> str:
    """Return the subjects of all roles for an operation."""
    subjects: dict[str, set[str]] = {"allow": {own}, "deny": set()}
    if operation == "publish":
        subjects["allow"] |= OF_OTHER_HOSTS
    else:
        subjects["allow"] |= OTHER_HOSTS_ANSWER
    for role, body in _USER.findall(text):
        for found, lists in _OPERATION.findall(body):
            for kind, listed in _LIST.findall(lists):
                if found == operation:
                    named = set(_SUBJECT.findall(listed))
                    subjects[kind] |= named - {f"{INBOX_PREFIX}.{role}.>"}
    if not subjects["allow"] > {own}:
        message = f"nats.conf has no permissions to {operation}"
        raise AssertionError(message)
    return "\n            ".join(
        f"{kind}: {msgspec.json.encode(sorted(listed)).decode()}"
        for kind, listed in subjects.items()
        if listed
    )


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listen(host: str) -> str:
    """Return the address a node listens on: loopback alone, or all of its host."""
    return host if host in ("127.0.0.1", "::1", "localhost") else "0.0.0.0"  # noqa: S104
