"""Every setting of the service: one typed table, read once from the environment."""

import ipaddress
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from actors.janitor.queries import SWEEP_INTERVAL, ExpiryAction
from actors.pricing import LOCAL_MICROS, MARGIN_PERCENT, Pricing, pricing
from ilios.blobs.s3.config import AUTO, SINGLE_PUT_MAX_BYTES, S3Config
from ilios.engines.local.limits import MEMORY_BYTES, PAGE_SECONDS, WALL_SECONDS, EngineLimits
from ilios.engines.mistral.limits import MAX_CONCURRENT_CALLS, MODEL, MistralLimits
from ilios.engines.sandbox.enter import SandboxMode
from ilios.runtime.cores import cores
from ilios.runtime.engine_memory import bytes_per_process, fitting_processes
from ilios.settings.names import unknown_variables
from ilios.settings.row import MIB, Setting
from ilios.settings.storage import warnings_without_bucket
from ilios.settings.table import IGNORED, TABLE, UNSUPPORTED
from ilios.settings.values import Secret
from schemas.options import EngineName

__all__ = ["IGNORED", "MIB", "TABLE", "UNSUPPORTED", "BadSettings", "Secret", "Setting", "Settings"]
__all__ += ["cores", "from_environ", "warnings"]

PREFETCH = 2  # documents that wait beside those being converted, so that no engine process idles


class BadSettings(Exception):
    """Some variables cannot be used. ``problems`` holds one sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Settings(Struct, frozen=True, kw_only=True):
    """What the service runs with. The names of the variables are in ``TABLE``."""

    host: str = "127.0.0.1"
    port: int = 1337
    public_url: str | None = None
    api_keys: tuple[Secret, ...] = ()
    data_dir: Path = Path("data")
    database: Path | None = None
    s3_bucket: str | None = None
    s3_endpoint: str | None = None
    s3_region: str = AUTO
    s3_access_key: Secret | None = None
    s3_secret_key: Secret | None = None
    s3_session_token: Secret | None = None
    s3_addressing: str = AUTO
    s3_prefix: str = ""
    s3_single_put_max_bytes: int = SINGLE_PUT_MAX_BYTES
    original_redirect: bool = False
    nats_url: Secret | None = None
    nats_port: int = 4222
    max_file_bytes: int = 1024 * MIB
    reserve_bytes: int = 64 * MIB
    max_connections: int = 1000
    max_uploads: int = 64
    convert_timeout: float = 300.0
    engine_processes: int = field(default_factory=fitting_processes)
    jobs_per_process: int | None = None
    engine_memory_bytes: int = MEMORY_BYTES
    engine_timeout: float = WALL_SECONDS
    page_timeout: float = PAGE_SECONDS
    sandbox: SandboxMode = "auto"
    mistral_key: Secret | None = None
    mistral_url: str | None = None
    engine: EngineName | None = None
    engine_fallback: bool = False
    mistral_model: str = MODEL
    mistral_concurrency: int = MAX_CONCURRENT_CALLS
    mistral_pages_per_minute: int = 0
    mistral_images: bool = True
    download_allow: tuple[str, ...] = ()
    expiry_action: ExpiryAction = "delete"
    janitor_interval: float = SWEEP_INTERVAL
    snapshot_hours: int = 24
    insecure: bool = False
    log_level: str = "info"
    log_format: str = "auto"
    local_page_micros: int = LOCAL_MICROS
    margin_percent: int = MARGIN_PERCENT
    wal_mode: bool = True

    @property
    def database_path(self) -> Path:
        """Where the SQLite file lies."""
        return self.database or self.data_dir / "ilios.db"

    @property
    def s3(self) -> S3Config | None:
        """Where the blobs are, if they are not in the data directory."""
        if self.s3_bucket is None:
            return None
        return S3Config(
            bucket=self.s3_bucket,
            prefix=self.s3_prefix,
            endpoint=self.s3_endpoint,
            region=self.s3_region,
            addressing=self.s3_addressing,
            access_key=self.s3_access_key,
            secret_key=self.s3_secret_key,
            session_token=self.s3_session_token,
            single_put_max_bytes=self.s3_single_put_max_bytes,
        )

    @property
    def snapshots_dir(self) -> Path:
        """Where snapshots of the database are kept."""
        return self.data_dir / "snapshots"

    @property
    def snapshot_interval(self) -> timedelta:
        """How old the newest snapshot may become; nothing: none are made."""
        return timedelta(hours=self.snapshot_hours)

    @property
    def max_in_flight(self) -> int:
        """How many documents are taken from the log at once to be converted."""
        remote_slots = self.mistral_concurrency + PREFETCH if self.mistral_key is not None else 0
        if self.jobs_per_process is None:
            return self.engine_processes + PREFETCH + remote_slots
        return self.engine_processes * self.jobs_per_process + remote_slots

    @property
    def engines(self) -> tuple[EngineName, ...]:
        """What can convert documents."""
        return ("local", "mistral") if self.mistral_key is not None else ("local",)

    @property
    def default_engine(self) -> EngineName:
        """What converts documents whose submission does not say."""
        return self.engine or self.engines[-1]

    @property
    def mistral_limits(self) -> MistralLimits:
        """What may be taken of Mistral's API."""
        return MistralLimits(
            model=self.mistral_model,
            max_concurrent_calls=self.mistral_concurrency,
            pages_per_minute=self.mistral_pages_per_minute,
            images=self.mistral_images,
        )

    @property
    def pricing(self) -> Pricing:
        """What conversions cost from now on."""
        return pricing(local_micros=self.local_page_micros, margin_percent=self.margin_percent)

    @property
    def engine_limits(self) -> EngineLimits:
        """What one conversion by the local engine may cost."""
        return EngineLimits(
            processes=self.engine_processes,
            memory_bytes=bytes_per_process(self.engine_memory_bytes, self.engine_processes),
            wall_seconds=self.engine_timeout,
            page_seconds=self.page_timeout,
            cpu_seconds=max(1, int(self.engine_timeout)),
            sandbox=self.sandbox,
        )


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
    for variable, why in UNSUPPORTED.items():
        if environ.get(variable, "").strip().lower() not in ("", "false"):
            problems.append(f"{variable}: {why}; unset it")
    settings = Settings(**found)
    if not _is_loopback(settings.host) and not (settings.api_keys or settings.insecure):
        problems.append(
            f"ILIOS_HOST: {settings.host} can be reached from outside, and without API_KEY "
            "everybody may read everything; set API_KEY, or ILIOS_INSECURE=true if you mean it"
        )
    if settings.engine == "mistral" and settings.mistral_key is None:
        problems.append("ILIOS_ENGINE: mistral needs a key; set MISTRAL_API_KEY")
    incomplete_key = (settings.s3_access_key is None) != (settings.s3_secret_key is None)
    if settings.s3_bucket is not None and incomplete_key:
        problems.append(
            "AWS_SECRET_ACCESS_KEY: it belongs to AWS_ACCESS_KEY_ID; set both, or none of them"
        )
    if problems:
        raise BadSettings(problems)
    return settings


def warnings(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that is set and has no effect."""
    known = {setting.variable for setting in TABLE} | set(IGNORED) | set(UNSUPPORTED)
    return [
        *warnings_without_bucket(environ),
        *(f"{name} has no effect: {why}" for name, why in IGNORED.items() if environ.get(name)),
        *unknown_variables(environ, known),
    ]
