"""Which objects of which S3 are the blobs, and by which right. Nothing here knows a library."""

from msgspec import Struct

from ilios.secret import Secret

AUTO = "auto"
"""The region of whoever has one only, and of those who leave it to us to find out; of addressing,
what suits the endpoint."""
SINGLE_PUT_MAX_BYTES = 50_000_000
"""What lies in memory anyway is put in one piece up to this size."""


class S3Config(Struct, frozen=True, kw_only=True):
    """A bucket, and the beginning of the keys in it that are ours.

    Without an ``endpoint`` it is AWS; without keys, what the machine itself has the right to.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str = AUTO
    addressing: str = AUTO
    access_key: Secret | None = None
    secret_key: Secret | None = None
    session_token: Secret | None = None
    single_put_max_bytes: int = SINGLE_PUT_MAX_BYTES

    @property
    def location(self) -> str:
        """Whom we talk to, for people."""
        return self.endpoint or "AWS"

    @property
    def addressing_style(self) -> str:
        """How a bucket is named in URLs.

        By default in the path wherever the endpoint is somebody's own: the name of a host for each
        bucket is what AWS has, and few others.
        """
        if self.addressing == AUTO:
            return "path" if self.endpoint else "virtual"
        return self.addressing
