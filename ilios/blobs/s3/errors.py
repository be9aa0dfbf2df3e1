"""What goes wrong with S3, in the words of the port and with the variable to look at."""

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
from ilios.blobs.s3.config import S3Config

SDK_ERRORS = (BotoCoreError, ClientError, HttpError, ResponseParserError)
"""All that comes of a call but what is cancelled or takes too long."""

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
"""What a call needs, where it is not the right to put objects."""

NOT_FOUND_CODES = {"NoSuchKey", "NotFound", "404"}
_FULL_CODES = {
    "EntityTooLarge",  # no request of ours is: to Swift it is a quota
    "InsufficientStorage",
    "QuotaExceeded",
    "XMinioAdminBucketQuotaExceeded",
    "XMinioStorageFull",
}
_SENTENCES = {
    "NoSuchBucket": "there is no bucket {bucket} at {where}: create it, or set S3_BUCKET",
    "InvalidBucketName": "{bucket} is no name for a bucket at {where}: set S3_BUCKET",
    "InvalidAccessKeyId": "{where} does not know the key: set AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "{where} refuses the signature: set AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY to two that belong together",
    "RequestTimeTooSkewed": "the clocks of {where} and of this machine differ too much: set this "
    "one right",
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
"""What to tell the operator of a refusal, by the word of S3 for it."""
_TRANSIENT_CODES = {
    *("InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown"),
    *("RequestTimeTooSkewed", "Throttling", "ThrottlingException", "TooManyRequests"),
}
"""Refusals that pass without a setting being changed; so does every status of 500 or more."""
_NO_KEY_SENTENCE = "there is no key for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_OTHER_SENTENCE = "S3 at {where} answers {operation} with {code}"


class S3ErrorResponse(StorageUnavailable):
    """S3 has answered no. ``code`` is its word for that, ``region`` the one it wants instead."""

    def __init__(self, message: str, *, code: str, region: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.region = region


class S3Misconfigured(S3ErrorResponse, StorageMisconfigured):
    """S3 has answered no, and will until a setting, a key or a right is changed."""


def translate(error: Exception, operation: str, config: S3Config) -> StorageUnavailable:
    """Return what the port raises for one of ``FAULTS``; its words are for the operator."""
    match error:
        case ClientError():
            return _from_response(error, operation, config)
        case NoCredentialsError() | PartialCredentialsError():
            return StorageMisconfigured(_NO_KEY_SENTENCE)
        case CredentialRetrievalError():  # of who hands them out, and may be back in a moment
            return StorageUnavailable(_NO_KEY_SENTENCE)
        case SSLError():
            return StorageMisconfigured(
                f"{config.location} cannot be trusted ({_cause(error)}): set AWS_CA_BUNDLE to who "
                "has signed its certificate"
            )
        case NoConnection() | HTTPClientError() | HttpError():
            return unreachable(config, _cause(error))
        case _:
            return StorageUnavailable(f"S3 at {config.location}: {operation} fails ({error})")


def unreachable(config: S3Config, reason: str) -> StorageUnavailable:
    """Return what is to be said of a store that does not answer."""
    return StorageUnavailable(
        f"S3 does not answer at {config.location} ({reason}): set AWS_ENDPOINT_URL_S3, or look "
        "after it"
    )


def _from_response(error: ClientError, operation: str, config: S3Config) -> StorageUnavailable:
    body = error.response.get("Error", {})
    code = str(body.get("Code", "")) or "an error without a code"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _FULL_CODES or status == 507:
        return StorageFull(f"S3 at {config.location} takes no more: {code}")
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
    # The words of botocore name the URL, with the key of the object in it.
    inner = getattr(error, "kwargs", {}).get("error", error)
    return str(inner) or type(inner).__name__
