"""Blobs in a bucket of S3 or of a compatible store, and the configuration of the bucket.

The settings import this module, which imports no SDK. The others are imported by
``ilios.blobs.factory``, and only if a bucket is configured: the SDK is large.
"""

from msgspec import Struct

from ilios.secret import Secret

AUTO = "auto"
"""As a region: found out from the bucket. As addressing: chosen by the endpoint."""
SINGLE_PUT_MAX_BYTES = 50_000_000
"""Bytes in memory are put in one request up to this size."""


class SharingHost(Struct, frozen=True):
    """One of several hosts that store blobs in the same bucket under the same prefix.

    ``probe_id`` names what it writes to try the bucket, if the owner's id does not. One host alone
    ``sweeps``: it aborts the multipart uploads that were left behind.
    """

    sweeps: bool
    probe_id: str | None = None


class S3Config(Struct, frozen=True, kw_only=True):
    """A bucket, and the prefix of our objects in it.

    Without an ``endpoint`` it is AWS. Without keys, the credentials of the machine are used.
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
        """The store, for messages."""
        return self.endpoint or "AWS"

    @property
    def addressing_style(self) -> str:
        """Where URLs name the bucket.

        By default in the path for an ``endpoint``: few stores besides AWS have a host name for each
        bucket.
        """
        if self.addressing == AUTO:
            return "path" if self.endpoint else "virtual"
        return self.addressing
