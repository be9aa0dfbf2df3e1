"""The variables that say where the bytes lie, if not in the data directory: rows of the table."""

from collections.abc import Mapping

from ilios.settings import values
from ilios.settings.row import Setting

BUCKET = "S3_BUCKET"

STORAGE_SETTINGS: tuple[Setting, ...] = (
    Setting(
        BUCKET,
        "s3_bucket",
        values.bucket,
        "documents",
        "Bucket the documents are kept in; unset = they are kept in ILIOS_DATA_DIR",
    ),
    Setting(
        "AWS_ENDPOINT_URL_S3",
        "s3_endpoint",
        values.endpoint,
        "https://fly.storage.tigris.dev",
        "Where S3 is, if it is not that of AWS",
    ),
    Setting(
        "AWS_REGION",
        "s3_region",
        values.region,
        "eu-central-1",
        "Region of the bucket; auto asks the bucket",
    ),
    Setting(
        "AWS_ACCESS_KEY_ID",
        "s3_access_key",
        values.secret,
        "...",
        "Access key for the bucket; unset = what the machine itself is allowed",
    ),
    Setting(
        "AWS_SECRET_ACCESS_KEY",
        "s3_secret_key",
        values.secret,
        "...",
        "Secret that belongs to AWS_ACCESS_KEY_ID",
    ),
    Setting(
        "AWS_SESSION_TOKEN",
        "s3_session_token",
        values.secret,
        "...",
        "Session the two belong to, if they are temporary; the service does not renew them",
    ),
    Setting(
        "ILIOS_S3_ADDRESSING",
        "s3_addressing",
        values.one_of("auto", "path", "virtual"),
        "path",
        "Where the bucket's name stands in URLs: path, virtual (the host), or auto",
    ),
    Setting(
        "ILIOS_S3_PREFIX",
        "s3_prefix",
        values.prefix,
        "ilios/",
        "What the keys of all objects begin with; two services in one bucket need two of them",
    ),
    Setting(
        "S3_MULTIPART_THRESHOLD",
        "s3_single_put_max_bytes",
        values.size(5_000_000, 1_000_000_000),
        "50MB",
        "Up to what size bytes that are in memory are put in one piece; streams go by 8 MiB parts",
    ),
    Setting(
        "ILIOS_ORIGINAL_REDIRECT",
        "original_redirect",
        values.boolean,
        "true",
        "Whether /original sends clients to the bucket, by a URL good for 5 minutes",
    ),
)


def warnings_without_bucket(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each of these variables that is set although no bucket is."""
    if environ.get(BUCKET, "").strip():
        return []
    return [
        f"{row.variable} has no effect: {BUCKET} is not set"
        for row in STORAGE_SETTINGS
        if environ.get(row.variable, "").strip()
    ]
