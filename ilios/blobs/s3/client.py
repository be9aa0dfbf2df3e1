"""Calls of the S3 SDK: each with a deadline, and with the errors of the port.

The SDK has no types. It is called in this file only; ``bucket`` gives types to its answers.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from aiohttp import ClientError as HttpError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
)
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError

from actors.ports import StorageFull, StorageMisconfigured, StorageUnavailable
from ilios import __version__
from ilios.blobs.s3 import S3Config

SDK_ERRORS = (BotoCoreError, ClientError, HttpError, ResponseParserError)
"""Every exception of a call except cancellation and timeouts."""

REQUIRED_PERMISSIONS = {
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "CopyObject": "s3:GetObject and s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "GetObject": "s3:GetObject",
    "HeadBucket": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListObjectsV2": "s3:ListBucket",
}
"""Permissions of calls that need another one than s3:PutObject."""

NOT_FOUND_CODES = {"NoSuchKey", "NotFound", "404"}
_FULL_CODES = {
    "EntityTooLarge",  # a quota, in Swift; no request of ours is too large
    "InsufficientStorage",
    "QuotaExceeded",
    "XMinioAdminBucketQuotaExceeded",
    "XMinioStorageFull",
}
_SENTENCES = {
    "NoSuchBucket": "there is no bucket {bucket} at {where}: create it, or set S3_BUCKET",
    "InvalidBucketName": "{bucket} is no name for a bucket at {where}: set S3_BUCKET",
    "InvalidAccessKeyId": "{where} has no such key: set AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "{where} refuses the signature: set AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY to two that belong together",
    "RequestTimeTooSkewed": "the clocks of {where} and of this machine differ too much: correct "
    "this one",
    **dict.fromkeys(
        ("ExpiredToken", "InvalidToken", "TokenRefreshRequired"),
        "{where} refuses the session ({code}): set AWS_SESSION_TOKEN to one that is valid",
    ),
    **dict.fromkeys(
        ("AccessDenied", "AllAccessDisabled", "Forbidden", "UnauthorizedAccess", "403"),
        "{where} forbids {operation}: allow {right} in bucket {bucket} to AWS_ACCESS_KEY_ID",
    ),
    **dict.fromkeys(
        (
            *("AuthorizationHeaderMalformed", "IllegalLocationConstraintException"),
            *("InvalidRegionName", "PermanentRedirect", "301"),
        ),
        "bucket {bucket} is in another region: set AWS_REGION to {region}",
    ),
}
"""Messages for the operator, by the error code of S3."""
_TRANSIENT_CODES = {
    *("InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown"),
    *("RequestTimeTooSkewed", "Throttling", "ThrottlingException", "TooManyRequests"),
}
"""Errors that pass without a change of settings, like every status of 500 or more."""
_NO_KEY_SENTENCE = "there is no key for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_OTHER_SENTENCE = "S3 at {where} answers {operation} with {code}"


class S3ErrorResponse(StorageUnavailable):
    """An error response of S3, with its code and the region it names, if any."""

    def __init__(self, message: str, *, code: str, region: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.region = region


class S3Misconfigured(S3ErrorResponse, StorageMisconfigured):
    """An error response that remains until a setting, a key or a permission is changed."""


def translate(error: Exception, operation: str, config: S3Config) -> StorageUnavailable:
    """Return the error of the port for one of ``SDK_ERRORS``, with a message for the operator."""
    match error:
        case ClientError():
            return _from_response(error, operation, config)
        case NoCredentialsError() | PartialCredentialsError():
            return StorageMisconfigured(_NO_KEY_SENTENCE)
        case CredentialRetrievalError():  # the provider of credentials may be back in a moment
            return StorageUnavailable(_NO_KEY_SENTENCE)
        case SSLError():
            return StorageMisconfigured(
                f"{config.location} has an untrusted certificate ({_cause(error)}): set "
                "AWS_CA_BUNDLE to that of its issuer"
            )
        case NoConnection() | HTTPClientError() | HttpError():
            return unreachable(config, _cause(error))
        case _:
            return StorageUnavailable(f"S3 at {config.location}: {operation} fails ({error})")


def unreachable(config: S3Config, reason: str) -> StorageUnavailable:
    """Return the error for a store that does not answer."""
    return StorageUnavailable(
        f"S3 does not answer at {config.location} ({reason}): set AWS_ENDPOINT_URL_S3, or check "
        "that it runs"
    )


def _from_response(error: ClientError, operation: str, config: S3Config) -> StorageUnavailable:
    body = error.response.get("Error", {})
    code = str(body.get("Code", "")) or "an error without a code"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _FULL_CODES or status == 507:
        return StorageFull(f"S3 at {config.location} has no space: {code}")
    region = body.get("Region")
    sentence = _SENTENCES.get(code, _OTHER_SENTENCE).format(
        bucket=config.bucket,
        where=config.location,
        operation=operation,
        right=REQUIRED_PERMISSIONS.get(operation, "s3:PutObject"),
        code=code,
        region=region or "its own",
    )
    transient = code in _TRANSIENT_CODES or status >= 500 or status == 429
    return (S3ErrorResponse if transient else S3Misconfigured)(sentence, code=code, region=region)


def _cause(error: Exception) -> str:
    # Messages of botocore contain the URL, with the key of the object in it.
    inner = getattr(error, "kwargs", {}).get("error", error)
    return str(inner) or type(inner).__name__


ANSWER_WITHIN = 15.0  # seconds for a call with all its attempts, without the transfer of its body
MIN_BYTES_PER_SECOND = 64 * 1024  # at which a store takes or copies bodies at least
ATTEMPTS = 3
CONNECT_TIMEOUT = 3.0  # seconds, for each attempt
SDK_READ_TIMEOUT = 3600.0  # seconds; the SDK counts the time of sending a body
_SIGNED_REGION = re.compile(r"Credential=[^,]*/[0-9]{8}/([^/,]+)/s3/")

UNLIMITED_CONNECTIONS = 0  # callers are limited elsewhere


_SESSION = get_session()
"""Reads the API description of the SDK, 10 MB of JSON, once."""


class S3Client:
    """Calls for one bucket. ``region`` is the one of the last signature.

    The SDK corrects the region if S3 names another one, but not in presigned URLs.
    """

    def __init__(self, sdk: Any, config: S3Config, region: str) -> None:  # noqa: ANN401  # no types
        self._sdk = sdk
        self.config = config
        self.region = region
        sdk.meta.events.register_last("before-call.s3", _drop_expect_header)
        sdk.meta.events.register_last("before-send.s3", self._record_region)

    async def call(self, method: str, body_bytes: int = 0, **params: object) -> dict[str, Any]:
        """Call a method of the SDK; ``body_bytes`` extend its deadline.

        :raises StorageUnavailable: it fails; ``S3ErrorResponse`` if S3 answers with an error.
        """
        within = ANSWER_WITHIN + body_bytes / MIN_BYTES_PER_SECOND
        # A call without a body is repeated once: an idle connection may have died.
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
                    why = f"no answer within {within:.0f} s"
                    raise unreachable(self.config, why) from error
        raise AssertionError("the last attempt ends the loop")

    async def presign(self, method: str, expires_in: int, **params: object) -> str:
        """Return a URL that permits one call, for so many seconds."""
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
    """Open a client; nothing is sent yet."""
    sdk_config = AioConfig(
        s3={"addressing_style": config.addressing_style},
        signature_version="s3v4",
        # S3 validates parameters as well; doing it here costs time in each call.
        parameter_validation=False,
        # The SDK would build its own in each call, an eighth of its CPU time.
        user_agent=f"ilios/{__version__}",
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=SDK_READ_TIMEOUT,
        max_pool_connections=UNLIMITED_CONNECTIONS,
        # Compatible stores refuse checksums newer than Content-MD5, or send wrong ones for ranges
        # of an object.
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
    """Return the S3 name of an SDK method: HeadObject for head_object."""
    return "".join(word.capitalize() for word in method.split("_"))


def _drop_expect_header(params: dict[str, Any], **_: object) -> None:
    # We would wait for the status 100 without a limit; not every store or proxy sends it.
    params["headers"].pop("Expect", None)
