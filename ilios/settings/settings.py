"""Every setting of the service, read once from the environment.

A setting is declared once: its type, bounds, variable, description and default are one field of
``Settings``.
"""

import math
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field

from actors.ports import SWEEP_INTERVAL, ExpiryAction
from actors.pricing import LOCAL_MICROS, MARGIN_PERCENT, Pricing, pricing
from ilios.database.recovery.snapshots import KEEP_COUNT
from ilios.engines.local import limits
from ilios.engines.local.limits import EngineLimits
from ilios.engines.mistral import MAX_CONCURRENT_CALLS, MODEL, MistralLimits
from ilios.engines.sandbox.enter import SandboxMode
from ilios.runtime import machine
from ilios.runtime.engine_memory import bytes_per_process, fitting_processes
from ilios.secret import Secret
from ilios.settings import values
from ilios.settings.bucket import BucketSettings
from ilios.settings.bus import BusSettings, Port
from ilios.settings.encryption import EncryptionSettings
from ilios.settings.hosts import HostSettings
from ilios.settings.metrics import MetricsSettings
from ilios.settings.values import Env, settings_of
from schemas.options import EngineName

MIB = 1024 * 1024
LOG_DAYS = 7  # where nothing else is set; what the log of every earlier version stores
PREFETCH = 2  # documents that wait beside those being converted, so that no engine process idles


class Settings(EncryptionSettings, frozen=True, kw_only=True):
    """What the service runs with; each field names its variable."""

    port: Annotated[Port, Env("PORT", "Port of the HTTP edge; 0 takes a free one")] = 1337
    host: Annotated[
        str, Env("ILIOS_HOST", "Address the HTTP edge listens on", parse=values.host)
    ] = "127.0.0.1"
    public_url: Annotated[
        str | None,
        Env(
            "ILIOS_PUBLIC_URL",
            "Where clients reach the HTTP edge; unset = the Host of each request",
            "https://docs.example.com",
            values.origin,
        ),
    ] = None
    allowed_origins: Annotated[
        tuple[str, ...],
        Env(
            "ILIOS_ALLOWED_ORIGINS",
            "Origins whose pages may submit URLs to a service without API_KEY",
            "https://app.example.com",
            values.origins,
        ),
    ] = ()
    allowed_hosts: Annotated[
        tuple[str, ...],
        Env(
            "ILIOS_ALLOWED_HOSTS",
            "Host names by which URLs may be submitted to a service without API_KEY",
            "ilios.internal",
            values.hosts,
        ),
    ] = ()
    api_keys: Annotated[
        tuple[Secret, ...],
        Env("API_KEY", "Keys that may use the API; none = open", "key1,key2", values.secret_list),
    ] = ()
    data_dir: Annotated[
        Path, Env("ILIOS_DATA_DIR", "Directory of the bus, blobs and database", "./data")
    ] = Path("data")
    database: Annotated[
        Path | None,
        Env("LOCAL_DB_PATH", "The SQLite file; unset = in ILIOS_DATA_DIR", "./data/ilios.db"),
    ] = None
    max_file_bytes: Annotated[
        int,
        Meta(ge=1 * MIB, le=1024 * MIB),
        Env("ILIOS_MAX_FILE_MB", "Largest document accepted, in MiB", unit=MIB),
    ] = 1024 * MIB
    reserve_bytes: Annotated[
        int,
        Meta(ge=16 * MIB, le=1024 * 1024 * MIB),
        Env(
            "ILIOS_RESERVE_MB",
            "Free space, in MiB on each volume, below which nothing new is accepted",
            unit=MIB,
        ),
    ] = 64 * MIB
    bucket_bytes: Annotated[
        int,
        Meta(ge=0, le=1024 * 1024 * MIB),
        Env(
            "ILIOS_BUCKET_MB",
            "Space of each tenant for files put on the bus, in MiB; 0: none are taken",
            unit=MIB,
        ),
    ] = 2048 * MIB
    max_connections: Annotated[
        int,
        Meta(ge=16, le=100_000),
        Env("ILIOS_MAX_CONNECTIONS", "Clients connected at once; idle and slow ones are evicted"),
    ] = 1000
    max_listeners: Annotated[
        int,
        Meta(ge=0, le=100_000),
        Env("ILIOS_MAX_LISTENERS", "Streams of events, beside the connections; more get 503"),
    ] = 1000
    max_uploads: Annotated[
        int,
        Meta(ge=1, le=10_000),
        Env("ILIOS_MAX_UPLOADS", "Concurrent uploads; more wait two seconds, then get 503"),
    ] = 64
    edge_processes: Annotated[
        int | None,
        Meta(ge=0, le=1),
        Env(
            "ILIOS_EDGE_PROCESSES",
            "Processes of the HTTP edge beside the core, 0 or 1; unset = 1 where it pays",
            "0",
        ),
    ] = None
    convert_timeout: Annotated[
        float, Env("ILIOS_CONVERT_TIMEOUT", "Seconds until /v1/convert answers 202 and goes on")
    ] = 300.0
    engine_processes: Annotated[
        int,
        Meta(ge=1, le=256),
        Env(
            "WORKER_COUNT",
            "Engine processes; one more each for urgent documents and for tenants without any",
            "4",
        ),
    ] = field(default_factory=fitting_processes)
    jobs_per_process: Annotated[
        int | None,
        Meta(ge=1, le=100),
        Env("MAX_CONCURRENT_JOBS", "Documents of a tenant in hand for each engine process", "10"),
    ] = None
    engine_memory_bytes: Annotated[
        int,
        Meta(ge=512 * MIB, le=65_536 * MIB),
        Env(
            "ILIOS_ENGINE_MEMORY_MB",
            "Memory of one engine process, in MiB; at most its share of the machine",
            unit=MIB,
        ),
    ] = limits.MEMORY_BYTES
    engine_timeout: Annotated[
        float,
        Env("ILIOS_ENGINE_TIMEOUT", "Seconds one document may take in the engine, wall and CPU"),
    ] = limits.WALL_SECONDS
    page_budget: Annotated[float, Env("ILIOS_PAGE_BUDGET", "Seconds per page")] = limits.PER_PAGE
    page_timeout: Annotated[
        float,
        Env("ILIOS_PAGE_TIMEOUT", "Seconds a document may be in the engine without another page"),
    ] = limits.PAGE_SECONDS
    sandbox: Annotated[
        SandboxMode, Env("ILIOS_SANDBOX", "Sandbox: auto (what can be), strict, off", "strict")
    ] = "auto"
    heif: Annotated[
        str,
        Env("ILIOS_HEIF", "Decoder of HEIC: auto, off or a library", "off", values.heif_decoder),
    ] = "auto"
    libreoffice: Annotated[
        str,
        Env(
            "ILIOS_LIBREOFFICE",
            "LibreOffice for DOC, XLS and PPT: auto, off or its program directory",
            "off",
            values.libreoffice_directory,
        ),
    ] = "auto"
    mistral_key: Annotated[
        Secret | None,
        Env("MISTRAL_API_KEY", "Key for Mistral's OCR, which is then the default engine", "..."),
    ] = None
    mistral_url: Annotated[
        str | None,
        Env(
            "MISTRAL_SERVER_URL",
            "URL of Mistral's API, if not the usual one",
            "https://api.eu.mistral.ai",
            values.origin,
        ),
    ] = None
    engine: Annotated[
        EngineName | None,
        Env("ILIOS_ENGINE", "Default engine; unset = Mistral where it has a key", "local"),
    ] = None
    engine_fallback: Annotated[
        bool,
        Env("ILIOS_ENGINE_FALLBACK", "Whether the local engine takes what Mistral cannot", "true"),
    ] = False
    mistral_model: Annotated[
        str,
        Env("ILIOS_MISTRAL_MODEL", "Default model of Mistral", "mistral-ocr-2512", values.model),
    ] = MODEL
    mistral_concurrency: Annotated[
        int,
        Meta(ge=1, le=256),
        Env("ILIOS_MISTRAL_CONCURRENCY", "Concurrent calls of Mistral's API"),
    ] = MAX_CONCURRENT_CALLS
    mistral_pages_per_minute: Annotated[
        int,
        Meta(ge=0, le=10_000_000),
        Env(
            "ILIOS_MISTRAL_PAGES_PER_MINUTE",
            "Pages sent to Mistral in a minute; 0 sends until it answers 429",
            "2000",
        ),
    ] = 0
    mistral_images: Annotated[
        bool, Env("ILIOS_MISTRAL_IMAGES", "Whether the images on the pages are part of the result")
    ] = True
    download_allow: Annotated[
        tuple[str, ...],
        Env(
            "ILIOS_DOWNLOAD_ALLOW",
            "host:port pairs that submitted URLs may name although they are not public",
            "files.internal:8080",
            values.hosts_and_ports,
        ),
    ] = ()
    expiry_action: Annotated[
        ExpiryAction,
        Env("ILIOS_RETENTION", "After retentionDays: delete, or archive the original", "archive"),
    ] = "delete"
    janitor_interval: Annotated[
        float, Env("ILIOS_JANITOR_INTERVAL", "Seconds between two passes of the janitor")
    ] = SWEEP_INTERVAL
    snapshot_hours: Annotated[
        int,
        Meta(ge=0, le=168),
        Env("ILIOS_SNAPSHOT_HOURS", "Hours between snapshots of the database; 0 makes none"),
    ] = 24
    log_days: Annotated[
        int | None,
        Meta(ge=1, le=3650),
        Env("ILIOS_LOG_DAYS", "Days the log reaches back; unset = 7, or what snapshots need", "14"),
    ] = None
    local_page_micros: Annotated[
        int,
        Meta(ge=0, le=100_000_000),
        Env(
            "ILIOS_LOCAL_PAGE_PRICE",
            "Price of a page of the local engine before the margin, in millionths of a US dollar",
        ),
    ] = LOCAL_MICROS
    margin_percent: Annotated[
        int, Meta(ge=0, le=1000), Env("ILIOS_MARGIN_PERCENT", "Margin on every page, in percent")
    ] = MARGIN_PERCENT
    wal_mode: Annotated[
        bool,
        Env(
            "DB_WAL_MODE",
            "The database is always in WAL mode; false is refused",
            parse=values.only_true("without WAL, readers would block the one writer"),
        ),
    ] = True
    insecure: Annotated[
        bool, Env("ILIOS_INSECURE", "Allow listening beyond loopback without API_KEY")
    ] = False
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Env("ILIOS_LOG_LEVEL", "Least severe level that is logged"),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "console"],
        Env("ILIOS_LOG_FORMAT", "json, console, or auto: console on a terminal"),
    ] = "auto"

    @property
    def has_edge_process(self) -> bool:
        """Whether the edge runs in a process of its own; by default where a second core can run it.

        Not with a bucket, whose store is for one process: it aborts uploads that it did not begin.
        The core would also have to fetch what the edge has just stored.
        """
        if self.edge_processes is not None:
            return self.edge_processes > 0
        return self.s3_bucket is None and machine.cores() > 1

    @property
    def database_path(self) -> Path:
        """Path of the SQLite file."""
        return self.database or self.data_dir / "ilios.db"

    @property
    def snapshots_dir(self) -> Path:
        """Directory of the snapshots of the database."""
        return self.data_dir / "snapshots"

    @property
    def snapshot_interval(self) -> timedelta:
        """Longest age of the newest snapshot; zero: none are made."""
        return timedelta(hours=self.snapshot_hours)

    @property
    def least_log_days(self) -> int:
        """Days the log must reach back: to the older snapshot, in case the other is damaged.

        A day more is for a snapshot that is late, as after a failure or while the service is
        stopped. Without snapshots the log is all there is to rebuild a database from.
        """
        if not self.snapshot_hours:
            return LOG_DAYS
        return math.ceil(KEEP_COUNT * self.snapshot_hours / 24) + 1

    @property
    def log_max_age(self) -> timedelta:
        """Age up to which the log stores an event."""
        return timedelta(days=self.log_days or max(LOG_DAYS, self.least_log_days))

    @property
    def max_in_flight(self) -> int:
        """Number of documents in conversion, those that wait for an engine included."""
        remote_slots = self.mistral_concurrency + PREFETCH if self.mistral_key is not None else 0
        if self.jobs_per_process is None:
            return self.engine_processes + PREFETCH + remote_slots
        return self.engine_processes * self.jobs_per_process + remote_slots

    @property
    def engines(self) -> tuple[EngineName, ...]:
        """Names of the available engines."""
        return ("local", "mistral") if self.mistral_key is not None else ("local",)

    @property
    def default_engine(self) -> EngineName:
        """Engine of documents that are submitted without one."""
        return self.engine or self.engines[-1]

    @property
    def mistral_limits(self) -> MistralLimits:
        """Limits on the use of Mistral's API."""
        return MistralLimits(
            model=self.mistral_model,
            max_concurrent_calls=self.mistral_concurrency,
            pages_per_minute=self.mistral_pages_per_minute,
            images=self.mistral_images,
        )

    @property
    def pricing(self) -> Pricing:
        """Prices of conversions from now on."""
        return pricing(local_micros=self.local_page_micros, margin_percent=self.margin_percent)

    @property
    def engine_limits(self) -> EngineLimits:
        """Limits of the local engine and of one conversion by it."""
        return EngineLimits(
            processes=self.engine_processes,
            memory_bytes=bytes_per_process(self.engine_memory_bytes, self.engine_processes),
            wall_seconds=self.engine_timeout,
            page_seconds=self.page_timeout,
            budget_seconds_per_page=self.page_budget,
            cpu_seconds=max(1, int(self.engine_timeout)),
            sandbox=self.sandbox,
            heif=self.heif,
            libreoffice=self.libreoffice,
        )


TABLE = tuple(
    sorted(
        settings_of(Settings),
        key=lambda one: sum(
            one.field in part.__struct_fields__
            for part in (
                EncryptionSettings,
                MetricsSettings,
                HostSettings,
                BusSettings,
                BucketSettings,
            )
        ),
    )
)
"""Every setting, in the order of the fields; encryption, metrics, hosts, bus and bucket last."""
