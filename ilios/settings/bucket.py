"""Settings of the bucket that stores the blobs."""

from functools import partial
from typing import Annotated, Literal

from msgspec import Struct

from ilios.blobs.s3 import AUTO, SINGLE_PUT_MAX_BYTES, S3Config
from ilios.secret import Secret
from ilios.settings import values
from ilios.settings.values import Env

BUCKET = "S3_BUCKET"
BucketEnv = partial(Env, needs=BUCKET)


class BucketSettings(Struct, frozen=True, kw_only=True):
    """Where the bucket is and how it is reached; each field names its variable."""

    s3_bucket: Annotated[
        str | None,
        Env(BUCKET, "Bucket of the blobs; unset = ILIOS_DATA_DIR", "documents", values.bucket),
    ] = None
    s3_endpoint: Annotated[
        str | None,
        BucketEnv(
            "AWS_ENDPOINT_URL_S3",
            "URL of the S3 service; unset = that of AWS",
            "https://fly.storage.tigris.dev",
            values.endpoint,
        ),
    ] = None
    s3_region: Annotated[
        str,
        BucketEnv(
            "AWS_REGION",
            "Region of the bucket; auto asks the bucket",
            "eu-central-1",
            values.region,
        ),
    ] = AUTO
    s3_access_key: Annotated[
        Secret | None,
        BucketEnv("AWS_ACCESS_KEY_ID", "Key for the bucket; unset = that of the machine", "..."),
    ] = None
    s3_secret_key: Annotated[
        Secret | None, BucketEnv("AWS_SECRET_ACCESS_KEY", "Secret of AWS_ACCESS_KEY_ID", "...")
    ] = None
    s3_session_token: Annotated[
        Secret | None,
        BucketEnv(
            "AWS_SESSION_TOKEN", "Session of temporary keys; the service does not renew them", "..."
        ),
    ] = None
    s3_addressing: Annotated[
        Literal["auto", "path", "virtual"],
        BucketEnv(
            "ILIOS_S3_ADDRESSING",
            "Position of the bucket's name in URLs: path, virtual (the host), or auto",
            "path",
        ),
    ] = "auto"
    s3_prefix: Annotated[
        str,
        BucketEnv(
            "ILIOS_S3_PREFIX",
            "Prefix of all keys; two services in one bucket need two of them",
            "ilios/",
            values.prefix,
        ),
    ] = ""
    s3_single_put_max_bytes: Annotated[
        int,
        BucketEnv(
            "S3_MULTIPART_THRESHOLD",
            "Size up to which bytes in memory are put in one piece; streams use parts of 8 MiB",
            "50MB",
            values.size(5_000_000, 1_000_000_000),
        ),
    ] = SINGLE_PUT_MAX_BYTES
    original_redirect: Annotated[
        bool,
        BucketEnv(
            "ILIOS_ORIGINAL_REDIRECT",
            "Whether /original redirects to the bucket, by a URL good for 5 minutes",
            "true",
        ),
    ] = False

    @property
    def s3(self) -> S3Config | None:
        """The bucket of the blobs; None: they are in the data directory."""
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
