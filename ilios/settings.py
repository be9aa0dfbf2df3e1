"""Every setting of the service: one typed table, read once from the environment."""

import ipaddress
import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from actors.upkeep import EVERY, Disposal
from ilios import setting_values as values
from ilios.engines.limits import MEMORY_BYTES, WALL_SECONDS, EngineLimits
from ilios.setting_values import Secret

__all__ = ["IGNORED", "NOT_YET", "TABLE", "BadSettings", "Secret", "Setting", "Settings"]
__all__ += ["cores", "from_environ", "warnings"]

MIB = 1024 * 1024
CGROUPS = Path("/sys/fs/cgroup")
CGROUP_OF_PROCESS = Path("/proc/self/cgroup")


class BadSettings(Exception):
    """Some variables cannot be used. ``problems`` holds one sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def cores(mount: Path = CGROUPS, process: Path = CGROUP_OF_PROCESS) -> int:
    """Return how many cores this process may keep busy: by affinity, and by cgroup v2 quota."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every platform
    found: int = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        lines = process.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("0::"):
            group = Path(line.removeprefix("0::").lstrip("/"))
            # A quota holds for all that is below it, so those above ours count as well.
            for above in (group, *group.parents):
                found = min(found, _quota(mount / above / "cpu.max"))
    return max(1, found)


def _quota(file: Path) -> int:
    """Return the cores that ``<microseconds> <period>`` or ``max <period>`` in ``file`` allow."""
    try:
        quota, period = file.read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return sys.maxsize


class Settings(Struct, frozen=True, kw_only=True):
    """What the service runs with. The names of the variables are in ``TABLE``."""

    host: str = "127.0.0.1"
    port: int = 1337
    api_keys: tuple[Secret, ...] = ()
    data_dir: Path = Path("data")
    database: Path | None = None
    nats_url: Secret | None = None
    nats_port: int = 4222
    max_file_bytes: int = 1024 * MIB
    convert_within: float = 300.0
    engine_processes: int = field(default_factory=cores)
    engine_memory_bytes: int = MEMORY_BYTES
    engine_within: float = WALL_SECONDS
    download_allow: tuple[str, ...] = ()
    disposal: Disposal = "delete"
    janitor_every: float = EVERY
    insecure: bool = False
    log_level: str = "info"
    log_format: str = "auto"

    @property
    def database_path(self) -> Path:
        """Where the SQLite file lies."""
        return self.database or self.data_dir / "ilios.db"

    @property
    def engine_limits(self) -> EngineLimits:
        """What one conversion by the local engine may cost."""
        return EngineLimits(
            processes=self.engine_processes,
            memory_bytes=self.engine_memory_bytes,
            wall_seconds=self.engine_within,
            cpu_seconds=max(1, int(self.engine_within)),
        )


class Setting(Struct, frozen=True):
    """One row of the table: a variable, the field it fills, how its text is read, and why."""

    variable: str
    field: str
    parse: Callable[[str], Any]
    example: str
    why: str
    unit: int = 1

    def read(self, text: str) -> object:
        """Return what the field is to hold."""
        value = self.parse(text)
        return value if self.unit == 1 else value * self.unit

    def show(self, settings: Settings) -> str:
        """Return what the variable would hold; a secret shows as ``***``."""
        match getattr(settings, self.field):
            case None | ():
                return "-"
            case bool(value):
                return str(value).lower()
            case tuple(parts):
                return ",".join(map(str, parts))
            case float(value):
                return f"{value:.15g}"
            case int(value):
                return str(value // self.unit)
            case value:
                return str(value)


TABLE: tuple[Setting, ...] = (
    Setting(
        "PORT", "port", values.whole(0, 65_535), "1337", "Port of the HTTP edge; 0 takes a free one"
    ),
    Setting("ILIOS_HOST", "host", values.host, "127.0.0.1", "Address the HTTP edge listens on"),
    Setting(
        "API_KEY",
        "api_keys",
        values.secret_list,
        "key1,key2",
        "Keys that may use the API; none = open",
    ),
    Setting("ILIOS_DATA_DIR", "data_dir", Path, "./data", "Where the bus, blobs and database lie"),
    Setting("LOCAL_DB_PATH", "database", Path, "./data/ilios.db", "The SQLite file, if elsewhere"),
    Setting(
        "NATS_URL",
        "nats_url",
        values.bus_url,
        "nats://host:4222",
        "A NATS of yours; unset = inside",
    ),
    Setting(
        "ILIOS_NATS_PORT",
        "nats_port",
        values.whole(0, 65_535),
        "4222",
        "Port of the bus inside; a free one is taken when it is not, or for 0",
    ),
    Setting(
        "ILIOS_MAX_FILE_MB",
        "max_file_bytes",
        values.whole(1, 1024),
        "1024",
        "Largest document accepted, in MiB",
        unit=MIB,
    ),
    Setting(
        "ILIOS_CONVERT_TIMEOUT",
        "convert_within",
        values.seconds,
        "300",
        "Seconds /v1/convert waits before it answers 202 and lets the conversion go on",
    ),
    Setting(
        "WORKER_COUNT",
        "engine_processes",
        values.whole(1, 256),
        "4",
        "Engine processes, each converting one document at a time; default: one per core allowed",
    ),
    Setting(
        "ILIOS_ENGINE_MEMORY_MB",
        "engine_memory_bytes",
        values.whole(512, 65_536),
        "2048",
        "Memory one engine process may hold, in MiB",
        unit=MIB,
    ),
    Setting(
        "ILIOS_ENGINE_TIMEOUT",
        "engine_within",
        values.seconds,
        "300",
        "Seconds one document may take in the engine, wall and CPU",
    ),
    Setting(
        "ILIOS_DOWNLOAD_ALLOW",
        "download_allow",
        values.hosts_and_ports,
        "files.internal:8080",
        "host:port pairs documents may be fetched from although they are not public",
    ),
    Setting(
        "ILIOS_RETENTION",
        "disposal",
        values.one_of("delete", "archive"),
        "archive",
        "What happens after a document's retentionDays: delete it, or archive its original",
    ),
    Setting(
        "ILIOS_JANITOR_INTERVAL",
        "janitor_every",
        values.seconds,
        "60",
        "Seconds between looks for what has expired, is stuck or lies about",
    ),
    Setting(
        "ILIOS_INSECURE",
        "insecure",
        values.yes_no,
        "false",
        "Allow listening beyond loopback without API_KEY",
    ),
    Setting(
        "ILIOS_LOG_LEVEL",
        "log_level",
        values.one_of("debug", "info", "warning", "error"),
        "info",
        "Least severe line that is logged",
    ),
    Setting(
        "ILIOS_LOG_FORMAT",
        "log_format",
        values.one_of("auto", "json", "console"),
        "auto",
        "json, console, or auto: console on a terminal",
    ),
)

NOT_YET = {
    "S3_BUCKET": "documents would not be stored in it: this version keeps them in ILIOS_DATA_DIR",
    "USE_EMBEDDED_REPLICA": "this version has no Turso replica",
    "TURSO_DATABASE_URL": "this version has no Turso replica",
    "DB_ENCRYPTION_KEY": "this version does not encrypt its database",
}
"""Variables whose silent neglect would be a broken promise: refused while set (and not false)."""

IGNORED = {
    "MISTRAL_API_KEY": "the local engine is used; this version does not call Mistral",
    "AWS_ACCESS_KEY_ID": "S3 is not used by this version",
    "AWS_SECRET_ACCESS_KEY": "S3 is not used by this version",
    "AWS_ENDPOINT_URL_S3": "S3 is not used by this version",
    "S3_MULTIPART_THRESHOLD": "S3 is not used by this version",
    "TURSO_AUTH_TOKEN": "this version has no Turso replica",
    "TURSO_SYNC_INTERVAL": "this version has no Turso replica",
    "MAX_CONCURRENT_JOBS": "WORKER_COUNT alone says how many documents are converted at once",
    "DB_WAL_MODE": "the database is always in WAL mode",
}
"""Variables that have no effect here; worth a warning, not a refusal."""


def _is_loopback(host: str) -> bool:
    """Whether nobody outside can reach ``host``; a name that only begins like that is a name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def from_environ(environ: Mapping[str, str]) -> Settings:
    """Read all settings.

    :raises BadSettings: with every problem at once, each naming its variable and an example.
    """
    found: dict[str, Any] = {}
    problems: list[str] = []
    for setting in TABLE:
        text = environ.get(setting.variable, "").strip()
        if not text:
            continue
        try:
            found[setting.field] = setting.read(text)
        except ValueError as error:
            problems.append(f"{setting.variable}: {error} (for example {setting.example})")
    for variable, why in NOT_YET.items():
        if environ.get(variable, "").strip().lower() not in ("", "false"):
            problems.append(f"{variable}: {why}; unset it")
    settings = Settings(**found)
    if not _is_loopback(settings.host) and not (settings.api_keys or settings.insecure):
        problems.append(
            f"ILIOS_HOST: {settings.host} can be reached from outside, and without API_KEY "
            "everybody may read everything; set API_KEY, or ILIOS_INSECURE=true if you mean it"
        )
    if problems:
        raise BadSettings(problems)
    return settings


def warnings(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that is set and has no effect."""
    return [f"{name} has no effect: {why}" for name, why in IGNORED.items() if environ.get(name)]
