"""Users of the embedded nats-server, their passwords, and the files with their URLs.

The permissions of the roles of the service are in ``nats.conf``. Publishers outside get one account
for each tenant, generated here: on it they reach nothing but what the account imports from that of
the service.
"""

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import msgspec

from bus.streams import MAX_EVENT_BYTES
from ilios.secret import generate_password, load_or_create_secrets, write_private_file
from schemas.ids import DEFAULT_TENANT

OPERATOR = "operator"
SETUP = "setup"
ROLES = ("edge", "fetcher", "ocr", "batcher", "persister", "aggregator", "janitor", "objects")
"""Users of the parts of the service; ``setup`` creates streams and consumers for them."""

CONFIGURATION = "nats.conf"
PUBLISHERS = "publishers.conf"
DEFAULT_PUBLISHER = "publisher"  # a second name of the URL file of the default tenant

PUBLISH_SUBJECTS = (
    "ilios.document.submitted.*.{tenant}.*",
    "ilios.batch.submitted.{tenant}.*",
)
REQUEST_SUBJECTS = tuple(
    f"ilios.api.{name}"
    for name in (
        "submit",
        "convert",
        "cancel",
        "status",
        "result",
        "pages",
        "batch.submit",
        "batch.status",
        "usage",
    )
)
"""Requests. An import adds the tenant, so that nobody can name another one."""
DISCOVERY_SUBJECTS = ("$SRV.PING", "$SRV.PING.ilios", "$SRV.INFO", "$SRV.INFO.ilios")
"""What a publisher may ask about the service; its counters are those of all tenants."""
# What clients of object stores use to put, describe and delete an object. Nothing that makes a
# consumer: the server would publish to whatever subject of the service it names.
BUCKET_SUBJECTS = (
    "$O.ilios-uploads-{tenant}.C.*",
    "$O.ilios-uploads-{tenant}.M.*",
    "$JS.API.STREAM.INFO.OBJ_ilios-uploads-{tenant}",
    "$JS.API.STREAM.PURGE.OBJ_ilios-uploads-{tenant}",
    "$JS.API.STREAM.MSG.GET.OBJ_ilios-uploads-{tenant}",
    "$JS.API.DIRECT.GET.OBJ_ilios-uploads-{tenant}",
    "$JS.API.DIRECT.GET.OBJ_ilios-uploads-{tenant}.>",
)
# Without it the server adds an import of its whole JetStream interface for this account, which
# answers every request of the bucket first, as not enabled. Nobody answers on this subject.
NOBODY = "ilios.nothing"
NO_JETSTREAM = f'{{ service: {{ account: ILIOS, subject: "{NOBODY}" }}, to: "$JS.API.INFO" }}'
IMPORTED_SUBJECTS = (
    "ilios.document.completed.*.{tenant}.*",
    "ilios.document.failed.*.{tenant}.*",
    "ilios.document.rejected.*.{tenant}.*",
    "ilios.document.cancelled.*.{tenant}.*",
    "ilios.page.{tenant}.*",
    "ilios.batch.progressed.{tenant}.*",
    "ilios.batch.completed.{tenant}.*",
)
# Wider than the imports, so that a program can subscribe without its tenant in the subject.
SUBSCRIBE_SUBJECTS = (
    "_INBOX.>",
    "ilios.document.completed.>",
    "ilios.document.failed.>",
    "ilios.document.rejected.>",
    "ilios.document.cancelled.>",
    "ilios.page.>",
    "ilios.batch.progressed.>",
    "ilios.batch.completed.>",
)


# Limits of one publisher, so that others can still connect.
MAX_CONNECTIONS = 128  # fewer where there are many tenants
MIN_CONNECTIONS = 8
TOTAL_CONNECTIONS = 768  # of all publishers, except that each has the minimum
RESERVED_CONNECTIONS = 896  # of the service, its operator, and clients before authentication
MAX_SUBSCRIPTIONS = 1024  # on one connection


class Credentials(msgspec.Struct, frozen=True):
    """Passwords by role, and those of publishers by tenant.

    Further passwords in files of older versions are dropped.
    """

    operator: str
    roles: dict[str, str] = {}
    publishers: dict[str, str] = {}


def publisher_name(tenant: str) -> str:
    """Return the user that publishes for a tenant."""
    return f"publisher-{tenant}"


class Users:
    """The users of one data directory, which has exactly one publisher for each tenant.

    ``tenants`` of None leaves the publishers as they are.

    :raises SecretsDamaged: the credentials cannot be read.
    """

    def __init__(self, directory: Path, tenants: Iterable[str] | None) -> None:
        self._directory = directory
        found = _reconcile_credentials(directory / "credentials.json", tenants)
        self._tenants = tuple(found.publishers)
        self._publishers = found.publishers
        self._passwords = {
            OPERATOR: found.operator,
            **found.roles,
            **{publisher_name(tenant): password for tenant, password in found.publishers.items()},
        }
        share = TOTAL_CONNECTIONS // max(1, len(self._tenants))
        self._connections_per_publisher = max(MIN_CONNECTIONS, min(MAX_CONNECTIONS, share))

    def write_configuration(self) -> None:
        """Write the configuration of the embedded server, and the file with the publishers."""
        write_private_file(self.configuration, template())
        write_private_file(self._directory / PUBLISHERS, self.publisher_accounts)

    @property
    def publisher_accounts(self) -> str:
        """The account of each publisher, in the format of nats-server."""
        return "".join(_account(one, self._connections_per_publisher) for one in self._tenants)

    @property
    def max_connections(self) -> int:
        """The connection limit of the server: those of all publishers, and the reserve."""
        return RESERVED_CONNECTIONS + self._connections_per_publisher * len(self._tenants)

    @property
    def tenant_count(self) -> int:
        """The number of publishers."""
        return len(self._tenants)

    @property
    def configuration(self) -> Path:
        """The configuration file of nats-server, beside the one with the publishers."""
        return self._directory / CONFIGURATION

    def url(self, user: str, port: int) -> str:
        """Return the URL for a user, password included."""
        return f"nats://{user}:{self._passwords[user]}@127.0.0.1:{port}"

    def password(self, user: str) -> str:
        """Return the password of a user."""
        return self._passwords[user]

    def environment(self) -> dict[str, str]:
        """Return the environment variables with the passwords."""
        of_roles = {
            f"ILIOS_NATS_{user.upper()}_PASSWORD": self._passwords[user]
            for user in (OPERATOR, SETUP, *ROLES)
        }
        return of_roles | {
            _variable(tenant): password for tenant, password in self._publishers.items()
        }

    def write_urls(self, port: int) -> None:
        """Write the URL files of operator and publishers; remove those of former publishers."""
        publishers = {publisher_name(tenant): publisher_name(tenant) for tenant in self._tenants}
        if DEFAULT_TENANT in self._tenants:
            publishers[DEFAULT_PUBLISHER] = publisher_name(DEFAULT_TENANT)
        for name, user in {OPERATOR: OPERATOR, **publishers}.items():
            write_private_file(self._directory / f"{name}.url", self.url(user, port) + "\n")
        for path in self._directory.glob("publisher*.url"):
            if path.stem not in publishers:
                path.unlink(missing_ok=True)


def _reconcile_credentials(path: Path, tenants: Iterable[str] | None) -> Credentials:
    """Return the credentials for exactly these tenants, and write them to the file."""
    found = load_or_create_secrets(path, Credentials, lambda: Credentials(generate_password()))
    if tenants is None:
        tenants = found.publishers or (DEFAULT_TENANT,)
    wanted = Credentials(
        found.operator,
        {role: found.roles.get(role) or generate_password() for role in (SETUP, *ROLES)},
        {tenant: found.publishers.get(tenant) or generate_password() for tenant in tenants},
    )
    if wanted != found:
        write_private_file(path, msgspec.json.encode(wanted).decode())
    return wanted


def template() -> str:
    """Return nats.conf, of the installed package or at the root of the source tree."""
    package = Path(str(files("ilios")))
    installed = package / CONFIGURATION
    return (installed if installed.exists() else package.parent / CONFIGURATION).read_text()


def _variable(tenant: str) -> str:
    return f"ILIOS_NATS_PUBLISHER_PASSWORD_{tenant}"


def _account(tenant: str, connections: int) -> str:
    """Return the account of the publisher of a tenant, in the format of nats-server."""
    imports = [
        f'{{ {kind}: {{ account: ILIOS, subject: "{subject.format(tenant=tenant)}" }} }}'
        for kind, subjects in (
            ("service", PUBLISH_SUBJECTS + BUCKET_SUBJECTS),
            ("stream", IMPORTED_SUBJECTS),
        )
        for subject in subjects
    ]
    imports += [
        f'{{ service: {{ account: EDGE, subject: "{subject}.{tenant}" }}, to: "{subject}" }}'
        for subject in REQUEST_SUBJECTS
    ]
    imports += [
        f'{{ service: {{ account: EDGE, subject: "{subject}" }} }}'
        for subject in DISCOVERY_SUBJECTS
    ]
    imports.append(NO_JETSTREAM)
    published = (*PUBLISH_SUBJECTS, *BUCKET_SUBJECTS, *REQUEST_SUBJECTS, *DISCOVERY_SUBJECTS)
    publish = ", ".join(f'"{subject.format(tenant=tenant)}"' for subject in published)
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
