"""S3 as the library knows it: every call within a deadline, and with the errors of the port.

The library has no types. It is called in this file only, and what it answers gets its types where
it is asked (``bucket``).
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from ilios import __version__
from ilios.blobs.s3.config import S3Config
from ilios.blobs.s3.errors import SDK_ERRORS, translate, unreachable

ANSWER_WITHIN = 15.0  # seconds for a call with all its attempts, but for what it moves
MIN_BYTES_PER_SECOND = (
    64 * 1024
)  # bytes a second that a store takes or copies at least; slower is broken
ATTEMPTS = 3
CONNECT_TIMEOUT = 3.0  # seconds, for each attempt
SDK_READ_TIMEOUT = 3600.0  # seconds; to the library, a body that is being sent is silence
_SIGNED_REGION = re.compile(r"Credential=[^,]*/[0-9]{8}/([^/,]+)/s3/")

UNLIMITED_CONNECTIONS = 0  # of connections: those who may ask are bounded elsewhere


_SESSION = get_session()
"""Reads what the library knows of S3, 10 MB of JSON, once."""


class S3Client:
    """Calls S3 about one bucket. ``region`` is the one that was signed for last.

    The library corrects it by itself where S3 names another one, but not in the URLs it signs.
    """

    def __init__(self, sdk: Any, config: S3Config, region: str) -> None:  # noqa: ANN401  # no types
        self._sdk = sdk
        self.config = config
        self.region = region
        sdk.meta.events.register_last("before-call.s3", _drop_expect_header)
        sdk.meta.events.register_last("before-send.s3", self._record_region)

    async def call(self, method: str, body_bytes: int = 0, **params: object) -> dict[str, Any]:
        """Call a method of the library, which may take longer the more bytes are ``moved``.

        :raises StorageUnavailable: it fails; an S3Refused, if S3 says so itself.
        """
        within = ANSWER_WITHIN + body_bytes / MIN_BYTES_PER_SECOND
        # What moves nothing is asked once more: the connection may have died while it was idle.
        for last in (bool(body_bytes), True):
            try:
                async with asyncio.timeout(within):
                    call = getattr(self._sdk, method)
                    answer: dict[str, Any] = await call(Bucket=self.config.bucket, **params)
                    return answer
            except SDK_ERRORS as error:
                raise translate(error, _operation(method), self.config) from error
            except TimeoutError as error:
                if last:
                    why = f"nothing came within {within:.0f} s"
                    raise unreachable(self.config, why) from error
        raise AssertionError("the last time ends the loop")

    async def presign(self, method: str, expires_in: int, **params: object) -> str:
        """Return a URL that carries the right to one call, for so many seconds."""
        wanted = {"Bucket": self.config.bucket, **params}
        presign = self._sdk.generate_presigned_url
        try:
            return str(await presign(method, Params=wanted, ExpiresIn=expires_in))
        except SDK_ERRORS as error:
            raise translate(error, _operation(method), self.config) from error

    def _record_region(self, request: Any, **_: object) -> None:  # noqa: ANN401  # no types
        signed = request.headers.get("Authorization", "")
        if isinstance(signed, bytes):
            signed = signed.decode()
        if found := _SIGNED_REGION.search(signed):
            self.region = found[1]


@asynccontextmanager
async def open_client(config: S3Config, region: str) -> AsyncIterator[S3Client]:
    """Lend a client; S3 is not asked anything yet."""
    sdk_config = AioConfig(
        s3={"addressing_style": config.addressing_style},
        signature_version="s3v4",
        # What is asked is ours, and S3 looks at it as well: no need to do so here for each call.
        parameter_validation=False,
        # The library would put its own together for each call anew, an eighth of all its work.
        user_agent=f"ilios/{__version__}",
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=SDK_READ_TIMEOUT,
        max_pool_connections=UNLIMITED_CONNECTIONS,
        # Other stores than AWS refuse the checksums that are newer than Content-MD5, or send some
        # that are wrong for parts of an object.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        ignore_configured_endpoint_urls=True,
    )
    keys = (config.access_key, config.secret_key, config.session_token)
    access, secret, token = (key.get_secret_value() if key else None for key in keys)
    async with AsyncExitStack() as stack:
        try:
            creating = _SESSION.create_client(
                "s3",
                region_name=region,
                endpoint_url=config.endpoint,
                aws_access_key_id=access,
                aws_secret_access_key=secret,
                aws_session_token=token,
                config=sdk_config,
            )
            sdk = await stack.enter_async_context(creating)
        except SDK_ERRORS as error:
            raise translate(error, "CreateClient", config) from error
        yield S3Client(sdk, config, region)


def _operation(method: str) -> str:
    """Return the name of a method as S3 has it: HeadObject of head_object."""
    return "".join(word.capitalize() for word in method.split("_"))


def _drop_expect_header(params: dict[str, Any], **_: object) -> None:
    # We would wait for the 100 for as long as it takes, and not every store, nor everything that
    # stands in front of one, sends it.
    params["headers"].pop("Expect", None)
