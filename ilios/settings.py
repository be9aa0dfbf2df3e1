"""Every setting of the service: one typed table, read once from the environment."""

import ipaddress
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from ilios.engines.limits import EngineLimits

MIB = 1024 * 1024


class Secret:
    """Text that does not show itself: only ``reveal`` gives it away."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


class BadSettings(Exception):
    """Some variables cannot be used. ``problems`` holds one sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


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
    engine_processes: int = field(default_factory=lambda: os.cpu_count() or 1)
    engine_memory_bytes: int = 2048 * MIB
    engine_within: float = 300.0
    download_allow: tuple[str, ...] = ()
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


def _whole(least: int, most: int, unit: int = 1) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise ValueError(f"must be from {least} to {most}")
        return value * unit

    return parse


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86_400:
        raise ValueError("must be more than 0 and at most 86400 seconds")
    return value


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text.lower()

    return parse


def _yes_no(text: str) -> bool:
    if text.lower() in ("true", "1", "yes", "on"):
        return True
    if text.lower() in ("false", "0", "no", "off"):
        return False
    raise ValueError("must be true or false")


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _secrets(text: str) -> tuple[Secret, ...]:
    found = tuple(Secret(part) for part in _list(text))
    if not found:
        raise ValueError("holds no key; unset it if everybody may use the API")
    return found


def _host(text: str) -> str:
    if not text or any(c.isspace() or c == "/" for c in text):
        raise ValueError("must be a host name or an address")
    return text


def _url(text: str) -> Secret:
    if "://" not in text:
        raise ValueError("must be a URL such as nats://user:password@host:4222")
    return Secret(text)


TABLE: tuple[Setting, ...] = (
    Setting("PORT", "port", _whole(0, 65_535), "1337", "Port of the HTTP edge; 0 takes a free one"),
    Setting("ILIOS_HOST", "host", _host, "127.0.0.1", "Address the HTTP edge listens on"),
    Setting("API_KEY", "api_keys", _secrets, "key1,key2", "Keys that may use the API; none = open"),
    Setting("ILIOS_DATA_DIR", "data_dir", Path, "./data", "Where the bus, blobs and database lie"),
    Setting("LOCAL_DB_PATH", "database", Path, "./data/ilios.db", "The SQLite file, if elsewhere"),
    Setting("NATS_URL", "nats_url", _url, "nats://host:4222", "A NATS of yours; unset = inside"),
    Setting(
        "ILIOS_NATS_PORT",
        "nats_port",
        _whole(0, 65_535),
        "4222",
        "Port of the bus inside; a free one is taken when it is not, or for 0",
    ),
    Setting(
        "ILIOS_MAX_FILE_MB",
        "max_file_bytes",
        _whole(1, 1024, MIB),
        "1024",
        "Largest document accepted, in MiB",
    ),
    Setting(
        "ILIOS_CONVERT_TIMEOUT",
        "convert_within",
        _seconds,
        "300",
        "Seconds /v1/convert waits before it answers 202 and lets the conversion go on",
    ),
    Setting(
        "WORKER_COUNT",
        "engine_processes",
        _whole(1, 256),
        "4",
        "Engine processes, each converting one document at a time; default: one per core",
    ),
    Setting(
        "ILIOS_ENGINE_MEMORY_MB",
        "engine_memory_bytes",
        _whole(512, 65_536, MIB),
        "2048",
        "Memory one engine process may hold, in MiB",
    ),
    Setting(
        "ILIOS_ENGINE_TIMEOUT",
        "engine_within",
        _seconds,
        "300",
        "Seconds one document may take in the engine, wall and CPU",
    ),
    Setting(
        "ILIOS_DOWNLOAD_ALLOW",
        "download_allow",
        _list,
        "files.internal:8080",
        "host:port pairs documents may be fetched from although they are not public",
    ),
    Setting(
        "ILIOS_INSECURE",
        "insecure",
        _yes_no,
        "false",
        "Allow listening beyond loopback without API_KEY",
    ),
    Setting(
        "ILIOS_LOG_LEVEL",
        "log_level",
        _one_of("debug", "info", "warning", "error"),
        "info",
        "Least severe line that is logged",
    ),
    Setting(
        "ILIOS_LOG_FORMAT",
        "log_format",
        _one_of("auto", "json", "console"),
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
    values: dict[str, Any] = {}
    problems: list[str] = []
    for setting in TABLE:
        text = environ.get(setting.variable, "").strip()
        if not text:
            continue
        try:
            values[setting.field] = setting.parse(text)
        except ValueError as error:
            problems.append(f"{setting.variable}: {error} (for example {setting.example})")
    for variable, why in NOT_YET.items():
        if environ.get(variable, "").strip().lower() not in ("", "false"):
            problems.append(f"{variable}: {why}; unset it")
    settings = Settings(**values)
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
