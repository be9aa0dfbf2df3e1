"""Who may come in on the bus inside, with which password, and where that is written down.

What each role of the service may say and hear stands in ``nats.conf``. Those who publish from
outside are made here, one for each tenant, each in an account of its own: whatever subjects it
uses, it meets nobody there but itself, and what its account imports of the service's.
"""

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import msgspec

from bus.streams import MAX_EVENT_BYTES
from ilios import secrets_file
from schemas.ids import DEFAULT_TENANT

OPERATOR = "operator"
SETUP = "setup"
ROLES = ("edge", "fetcher", "ocr", "batcher", "persister", "aggregator", "janitor")
"""Those who work; ``setup`` only comes to make streams and consumers for them."""

CONFIGURATION = "nats.conf"
PUBLISHERS = "publishers.conf"
DEFAULT_PUBLISHER = "publisher"  # a second name of the default tenant's file

PUBLISH_SUBJECTS = ("ilios.document.submitted.*.{tenant}.*", "ilios.batch.submitted.{tenant}.*")
IMPORTED_SUBJECTS = (
    "ilios.document.completed.*.{tenant}.*",
    "ilios.document.failed.*.{tenant}.*",
    "ilios.document.cancelled.*.{tenant}.*",
    "ilios.batch.completed.{tenant}.*",
)
# Wider than what is ever heard there, so that a program needs not know its tenant to listen.
SUBSCRIBE_SUBJECTS = (
    "_INBOX.>",
    "ilios.document.completed.>",
    "ilios.document.failed.>",
    "ilios.document.cancelled.>",
    "ilios.batch.completed.>",
)


# Of one publisher: what it opens beyond that is refused, so that others can still connect.
MAX_CONNECTIONS = 128  # fewer where there are many tenants
MIN_CONNECTIONS = 8
TOTAL_CONNECTIONS = 768  # of all publishers, while each has the fewest at least
RESERVED_CONNECTIONS = 896  # of the service, its operator, and who has not signed in yet
MAX_SUBSCRIPTIONS = 1024  # on one connection


class Credentials(msgspec.Struct, frozen=True):
    """Passwords of everybody on the bus inside: of roles by their names, of publishers by tenant.

    Older files hold others besides the operator's, which are forgotten.
    """

    operator: str
    roles: dict[str, str] = {}
    publishers: dict[str, str] = {}


def publisher_name(tenant: str) -> str:
    """Return the name of the user who publishes for a tenant."""
    return f"publisher-{tenant}"


class Users:
    """The users of one data directory. Those that are missing get a password, others lose theirs.

    Where it is not known whose documents there are (None), those stay who are there.

    :raises SecretsDamaged: the credentials cannot be read.
    """

    def __init__(self, directory: Path, tenants: Iterable[str] | None) -> None:
        self._directory = directory
        kept = _reconcile_credentials(directory / "credentials.json", tenants)
        self._tenants = tuple(kept.publishers)
        self._publishers = kept.publishers
        self._passwords = {
            OPERATOR: kept.operator,
            **kept.roles,
            **{publisher_name(tenant): word for tenant, word in kept.publishers.items()},
        }
        secrets_file.write(self.configuration, _template().read_text())
        share = TOTAL_CONNECTIONS // max(1, len(self._tenants))
        self._connections_per_publisher = max(MIN_CONNECTIONS, min(MAX_CONNECTIONS, share))
        accounts = (_account(tenant, self._connections_per_publisher) for tenant in self._tenants)
        secrets_file.write(directory / PUBLISHERS, "".join(accounts))

    @property
    def max_connections(self) -> int:
        """How many connections the server takes: all that publishers may have, and the reserve."""
        return RESERVED_CONNECTIONS + self._connections_per_publisher * len(self._tenants)

    @property
    def configuration(self) -> Path:
        """The file nats-server reads: a copy of ours, beside the one with the publishers."""
        return self._directory / CONFIGURATION

    def url(self, user: str, port: int) -> str:
        """Return the URL for a user, password included."""
        return f"nats://{user}:{self._passwords[user]}@127.0.0.1:{port}"

    def environment(self) -> dict[str, str]:
        """Return the variables the configuration takes the passwords from."""
        of_roles = {
            f"ILIOS_NATS_{user.upper()}_PASSWORD": self._passwords[user]
            for user in (OPERATOR, SETUP, *ROLES)
        }
        return of_roles | {_variable(tenant): word for tenant, word in self._publishers.items()}

    def write_urls(self, port: int) -> None:
        """Write down for people and their programs where the server is; take back what was."""
        publishers = {publisher_name(tenant): publisher_name(tenant) for tenant in self._tenants}
        if DEFAULT_TENANT in self._tenants:
            publishers[DEFAULT_PUBLISHER] = publisher_name(DEFAULT_TENANT)
        for name, user in {OPERATOR: OPERATOR, **publishers}.items():
            secrets_file.write(self._directory / f"{name}.url", self.url(user, port) + "\n")
        for path in self._directory.glob("publisher*.url"):
            if path.stem not in publishers:
                path.unlink(missing_ok=True)


def _reconcile_credentials(path: Path, tenants: Iterable[str] | None) -> Credentials:
    """Return the credentials for exactly these tenants, and make the file hold them."""
    found = secrets_file.load_or_create(
        path, Credentials, lambda: Credentials(secrets_file.generate_password())
    )
    if tenants is None:
        tenants = found.publishers or (DEFAULT_TENANT,)
    wanted = Credentials(
        found.operator,
        {
            role: found.roles.get(role) or secrets_file.generate_password()
            for role in (SETUP, *ROLES)
        },
        {
            tenant: found.publishers.get(tenant) or secrets_file.generate_password()
            for tenant in tenants
        },
    )
    if wanted != found:
        secrets_file.write(path, msgspec.json.encode(wanted).decode())
    return wanted


def _template() -> Path:
    """Find nats.conf: in the installed package, or at the root of the source tree."""
    package = Path(str(files("ilios")))
    installed = package / CONFIGURATION
    return installed if installed.exists() else package.parent / CONFIGURATION


def _variable(tenant: str) -> str:
    return f"ILIOS_NATS_PUBLISHER_PASSWORD_{tenant}"


def _account(tenant: str, connections: int) -> str:
    """Return the account of a tenant's publisher, in nats-server's own format."""
    imports = [
        f'{{ {kind}: {{ account: ILIOS, subject: "{subject.format(tenant=tenant)}" }} }}'
        for kind, subjects in (("service", PUBLISH_SUBJECTS), ("stream", IMPORTED_SUBJECTS))
        for subject in subjects
    ]
    publish = ", ".join(f'"{subject.format(tenant=tenant)}"' for subject in PUBLISH_SUBJECTS)
    subscribe = ", ".join(f'"{subject}"' for subject in SUBSCRIBE_SUBJECTS)
    return f"""PUBLISHER_{tenant} {{
  limits {{
    max_connections: {connections}
    max_subscriptions: {MAX_SUBSCRIPTIONS}
    max_payload: {MAX_EVENT_BYTES}
  }}
  imports: [
    {f"{chr(10)}    ".join(imports)}
  ]
  users: [
    {{ user: {publisher_name(tenant)}, password: ${_variable(tenant)},
      permissions {{ publish {{ allow: [{publish}] }}, subscribe {{ allow: [{subscribe}] }} }} }}
  ]
}}
"""
