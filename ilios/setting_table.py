"""The variables of the service, row by row; ``ilios.settings`` reads them."""

from pathlib import Path

from ilios import setting_values as values
from ilios.setting_row import MIB, Setting
from ilios.storage_settings import STORAGE

TABLE: tuple[Setting, ...] = (
    Setting(
        "PORT", "port", values.whole(0, 65_535), "1337", "Port of the HTTP edge; 0 takes a free one"
    ),
    Setting("ILIOS_HOST", "host", values.host, "127.0.0.1", "Address the HTTP edge listens on"),
    Setting(
        "ILIOS_PUBLIC_URL",
        "public_url",
        values.origin,
        "https://docs.example.com",
        "Where clients reach the HTTP edge; unset = where each request says it was sent to",
    ),
    Setting(
        "API_KEY",
        "api_keys",
        values.secret_list,
        "key1,key2",
        "Keys that may use the API; none = open",
    ),
    Setting("ILIOS_DATA_DIR", "data_dir", Path, "./data", "Where the bus, blobs and database lie"),
    Setting("LOCAL_DB_PATH", "database", Path, "./data/ilios.db", "The SQLite file, if elsewhere"),
    *STORAGE,
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
        "ILIOS_RESERVE_MB",
        "reserve_bytes",
        values.whole(16, 1024 * 1024),
        "64",
        "Free space below which nothing new is accepted, on each volume that is written to, in MiB",
        unit=MIB,
    ),
    Setting(
        "ILIOS_MAX_CONNECTIONS",
        "max_connections",
        values.whole(16, 100_000),
        "1000",
        "Clients connected at once; who rests or sends its request too slowly makes room",
    ),
    Setting(
        "ILIOS_MAX_UPLOADS",
        "max_uploads",
        values.whole(1, 10_000),
        "64",
        "Uploads taken in at once; more wait a moment, then they are refused",
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
        "Engine processes; one more each for urgent documents and for tenants with none at work",
    ),
    Setting(
        "MAX_CONCURRENT_JOBS",
        "jobs_per_process",
        values.whole(1, 100),
        "10",
        "Documents of one tenant in hand for each engine process, those that wait included",
    ),
    Setting(
        "ILIOS_ENGINE_MEMORY_MB",
        "engine_memory_bytes",
        values.whole(512, 65_536),
        "2048",
        "Memory one engine process may hold, in MiB; at most its share of what there is",
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
        "ILIOS_PAGE_TIMEOUT",
        "page_within",
        values.seconds,
        "45",
        "Seconds a document may be in the engine without a page of it being finished",
    ),
    Setting(
        "ILIOS_SANDBOX",
        "sandbox",
        values.one_of("auto", "strict", "off"),
        "strict",
        "How far engine processes are shut in: as the kernel allows, all of it or no start, not",
    ),
    Setting(
        "MISTRAL_API_KEY",
        "mistral_key",
        values.secret,
        "...",
        "Key for Mistral's OCR, which then converts what is not submitted for the local engine",
    ),
    Setting(
        "MISTRAL_SERVER_URL",
        "mistral_url",
        values.origin,
        "https://api.eu.mistral.ai",
        "Where Mistral's API is, if elsewhere than usual",
    ),
    Setting(
        "ILIOS_ENGINE",
        "engine",
        values.one_of("local", "mistral"),
        "local",
        "What converts what is submitted without engine; unset = Mistral where it has a key",
    ),
    Setting(
        "ILIOS_ENGINE_FALLBACK",
        "engine_fallback",
        values.yes_no,
        "true",
        "Whether the local engine takes what Mistral cannot convert, or cannot at the moment",
    ),
    Setting(
        "ILIOS_MISTRAL_MODEL",
        "mistral_model",
        values.model,
        "mistral-ocr-2512",
        "Model for what is submitted without model",
    ),
    Setting(
        "ILIOS_MISTRAL_CONCURRENCY",
        "mistral_at_once",
        values.whole(1, 256),
        "32",
        "Calls of Mistral's API under way at one time",
    ),
    Setting(
        "ILIOS_MISTRAL_PAGES_PER_MINUTE",
        "mistral_pages_per_minute",
        values.whole(0, 10_000_000),
        "2000",
        "Pages sent to Mistral in a minute; 0 sends until it says that it is too much",
    ),
    Setting(
        "ILIOS_MISTRAL_IMAGES",
        "mistral_images",
        values.yes_no,
        "true",
        "Whether the images on the pages are kept, and shown by the Markdown",
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
        "ILIOS_SNAPSHOT_HOURS",
        "snapshot_hours",
        values.whole(0, 168),
        "24",
        "Hours between snapshots of the database, of which two are kept; 0 makes none",
    ),
    Setting(
        "ILIOS_LOCAL_PAGE_PRICE",
        "local_page_micros",
        values.whole(0, 100_000_000),
        "1000",
        "Price of a page of the local engine, in millionths of a US dollar, before the margin",
    ),
    Setting(
        "ILIOS_MARGIN_PERCENT",
        "margin_percent",
        values.whole(0, 1000),
        "30",
        "What is added to the price of every page, in whole percent",
    ),
    Setting(
        "DB_WAL_MODE",
        "wal_mode",
        values.only_true("without WAL, readers would block the one writer"),
        "true",
        "The database is always in WAL mode; false is refused",
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
    "USE_EMBEDDED_REPLICA": "this version has no Turso replica",
    "TURSO_DATABASE_URL": "this version has no Turso replica",
    "DB_ENCRYPTION_KEY": "this version does not encrypt its database",
}
"""Variables whose silent neglect would be a broken promise: refused while set (and not false)."""

IGNORED = {
    "TURSO_AUTH_TOKEN": "this version has no Turso replica",
    "TURSO_SYNC_INTERVAL": "this version has no Turso replica",
}
"""Variables that have no effect here; worth a warning, not a refusal."""
