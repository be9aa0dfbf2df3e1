"""Classification of API errors: of the document, of the API, of the account."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

import aiohttp
import httpx2
import msgspec

from actors.engines import Unconvertible

Kind = Literal["busy", "down", "lost", "account"]
"""``busy``: the API asks for a pause. ``down``: it does not work. Neither is billed. ``lost``: it
may have billed the pages, but the answer is missing. ``account``: the operator has to act."""

LONGEST_MESSAGE = 200  # characters of the API's messages that are passed on

_BUSY = frozenset({425, 429})
_KEY = frozenset({401, 403})
BAD_KEY = "engine_bad_key"
"""The code of a key that is refused."""
_FILE_MISSING = re.compile(r'file not found|could not get file|"invalid_file"', re.IGNORECASE)
_UNREADABLE = "Mistral sent an answer that cannot be understood"
_DOCUMENT = tuple(
    (code, re.compile(words, re.IGNORECASE))
    for code, words in (
        ("pages_out_of_range", r"page \d+ .{0,40}but the document has|pages? .{0,20}out of range"),
        ("too_many_pages", r"too_many_pages|pages, which is more than|page limit"),
        ("too_large", r"too_large|too large|bytes, which is more than|size limit"),
        ("model_unknown", r"invalid_model|invalid model|model.{0,20}not found"),
        ("corrupt", r"parser_invalid|not a valid|could not be (read|parsed)"),
        ("password_protected", r"password|encrypted"),
        ("unsupported_type", r"unsupported|mime"),
    )
)
_BY_STATUS = {413: "too_large", 415: "unsupported_type"}


class ApiError(Exception):
    """A call failed for a reason other than the document.

    ``code`` and ``reason`` are for the owner of the document, if retries do not help.
    ``retry_after`` is the pause in seconds that the API asks for, if any.
    """

    def __init__(
        self, kind: Kind, code: str, reason: str, retry_after: float | None = None
    ) -> None:
        super().__init__(reason)
        self.kind = kind
        self.code = code
        self.reason = reason
        self.retry_after = retry_after


class RefusedCall(Exception):
    """The API answered with another status than 200."""

    def __init__(self, status: int, body: str, headers: Mapping[str, str]) -> None:
        super().__init__(f"status {status}")
        self.status_code = status
        self.body = body
        self.headers = headers


class UnreadableAnswer(ValueError):
    """An answer that the SDK cannot understand."""


class ConnectionBroken(Exception):
    """The SDK got no answer."""


CALL_ERRORS = (
    RefusedCall,
    UnreadableAnswer,
    ConnectionBroken,
    httpx2.HTTPError,
    httpx2.StreamError,
    aiohttp.ClientError,
    TimeoutError,
    msgspec.DecodeError,
)
"""What a call raises when it fails; ``classify`` has the meaning."""


def classify(error: Exception) -> ApiError | Unconvertible:
    """Return the meaning of an exception of a call; raise any other one."""
    match error:
        case RefusedCall():
            return _from_response(error.status_code, error.body, error.headers)
        case (
            httpx2.ConnectError()
            | httpx2.ConnectTimeout()
            | httpx2.PoolTimeout()
            | aiohttp.ClientConnectorError()
            | aiohttp.ConnectionTimeoutError()
            | httpx2.ProxyError()
            | aiohttp.ClientHttpProxyError()  # of CONNECT: nothing went to the API
        ):
            return _down("Mistral cannot be reached")
        case TimeoutError() | httpx2.TimeoutException():
            return _lost_answer("Mistral did not answer in time")
        case httpx2.HTTPError() | httpx2.StreamError() | ConnectionBroken() | aiohttp.ClientError():
            return _lost_answer("The connection to Mistral broke off")
        case ValueError():  # invalid JSON in an answer
            return _lost_answer(_UNREADABLE)
    raise error


def is_file_missing(error: RefusedCall) -> bool:
    """Whether the file of a call does not exist any more."""
    return 400 <= error.status_code < 500 and bool(_FILE_MISSING.search(error.body))


def _from_response(status: int, body: str, headers: Mapping[str, str]) -> ApiError | Unconvertible:
    if status < 400:
        return _lost_answer(_UNREADABLE)
    error = _service_error(status, body)
    if error is not None:
        error.retry_after = _retry_after(headers)
        return error
    code = next((code for code, words in _DOCUMENT if words.search(body)), None)
    code = code or _BY_STATUS.get(status, "refused")
    return Unconvertible(code, f"Mistral refuses the document: {_message(body)}")


def _service_error(status: int, body: str) -> ApiError | None:
    """Return an error of the API or the account; None if it is the document's."""
    if status in _KEY:
        return ApiError("account", BAD_KEY, "Mistral refuses the key in MISTRAL_API_KEY")
    if status == 402 or (status == 429 and re.search("budget|credit|billing", body, re.IGNORECASE)):
        return ApiError("account", "engine_quota", "The budget at Mistral is used up")
    if status in _BUSY:
        return ApiError("busy", "engine_busy", "Mistral asks for fewer calls")
    if status == 408 or status >= 500:
        return _down(f"Mistral answers {status}")
    if _FILE_MISSING.search(body):
        return _lost_answer("Mistral no longer has what was uploaded")
    return None


def _lost_answer(reason: str) -> ApiError:
    return ApiError("lost", "engine_failed", reason)


def _down(reason: str) -> ApiError:
    return ApiError("down", "engine_unavailable", reason)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After`` (RFC 9110 section 10.2.3), or the ``retry-after-ms`` some APIs send."""
    milliseconds, text = headers.get("retry-after-ms", ""), headers.get("retry-after", "").strip()
    try:
        if milliseconds:
            return max(0.0, float(milliseconds) / 1000)
        if text and text[0].isdigit():
            return max(0.0, float(text))
        if text:
            return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        pass
    return None


def _message(body: str) -> str:
    """Return the message in an error's body, without the input that some of them repeat."""
    try:
        decoded = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return "no reason was given"
    if not isinstance(decoded, dict):
        return "no reason was given"
    message = decoded.get("message") or decoded.get("detail")
    if isinstance(message, list):
        message = "; ".join(str(one.get("msg")) for one in message if isinstance(one, dict))
    return str(message or "no reason was given")[:LONGEST_MESSAGE]
