"""The error responses of the API.

Its error bodies come in two families, as its users have quoted them in public: ``{"detail": ...}``
from the front of the house, and ``{"object": "error", "type": ..., "code": ...}`` from behind it.
Where no quotation was found the message is made up, in the shape of its family. A refused request
is echoed in the answer as ``input``, the whole document with it: the real API does that too.
"""

from collections.abc import Iterable, Mapping
from typing import Any

JSON = "application/json"
HTML = "text/html"


class ApiError(Exception):
    """The answer is an error, with this status and body."""

    def __init__(
        self,
        status: int,
        body: Mapping[str, Any] | str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


def api_error(status: int, message: str, kind: str, code: str | None = None) -> ApiError:
    """Return an error as the inference floor of the API words it."""
    body = {
        "object": "error",
        "message": message,
        "type": kind,
        "param": None,
        "code": code,
        "raw_status_code": status,
    }
    return ApiError(status, body)


def problem(loc: Iterable[str | int], kind: str, message: str, value: Any = None) -> dict[str, Any]:
    """Return one entry of a 422: where, what, and what was given there."""
    return {"type": kind, "loc": list(loc), "msg": message, "input": value}


def invalid(problems: Iterable[Mapping[str, Any]]) -> ApiError:
    """Return the 422 of the request validator: the SDK's ``HTTPValidationError``."""
    return ApiError(422, {"detail": list(problems)})


def invalid_file(message: str, **more: Any) -> ApiError:
    """Return the 422 of the files endpoint, whose ``detail`` is no list but a sentence."""
    return ApiError(422, {"detail": "Invalid file format.", "message": message, **more})


def unauthorized(message: str = "Unauthorized") -> ApiError:
    return ApiError(401, {"detail": message})


def file_not_found() -> ApiError:
    return ApiError(404, {"detail": "File not found"})


def job_not_found() -> ApiError:
    return ApiError(404, {"detail": "Batch job not found"})


def invalid_model(name: object) -> ApiError:
    return api_error(400, f"Invalid model: {name}", "invalid_model", "1500")


def unreadable(kind: str) -> ApiError:
    name = "PDF" if kind == "pdf" else kind
    return api_error(
        400, f"Document is not a valid {name}.", "document_parser_invalid_file", "3740"
    )


def unsupported(kind: str) -> ApiError:
    message = f"Document type {kind or 'unknown'} is not supported."
    return api_error(400, message, "document_parser_invalid_file", "3740")


def unfetchable(url: str) -> ApiError:
    message = f"File could not be fetched from url '{url}'"
    return api_error(400, message, "invalid_request_file", "3310")


def undecodable() -> ApiError:
    return api_error(400, "Failed to fetch document", "invalid_request_error")


def too_many_pages(pages: int, limit: int) -> ApiError:
    message = f"This document has {pages} pages, which is more than the maximum allowed of {limit}."
    return api_error(400, message, "document_parser_too_many_pages", "3730")


def too_large(size: int, limit: int) -> ApiError:
    message = f"This document has {size} bytes, which is more than the maximum allowed of {limit}."
    return api_error(413, message, "document_too_large")


def out_of_range(page: int, pages: int) -> ApiError:
    message = f"Page {page} was asked for, but the document has {pages} pages, counted from 0."
    return api_error(400, message, "invalid_request_invalid_args", "3051")


def images_need_base64(kind: str) -> ApiError:
    """Return what Office documents get when images are wanted, but not as base64."""
    return api_error(
        400,
        f"For .{kind} files, extracted images can only be returned in base64. If you don't want "
        "images, try setting `image_limit=0` instead.",
        "invalid_request_invalid_args",
        "3051",
    )


def rate_limited(
    *, retry_after: float | None = None, retry_after_ms: float | None = None
) -> ApiError:
    """Return a 429; the real one mostly comes without a Retry-After."""
    error = api_error(429, "Rate limit exceeded", "rate_limited", "1300")
    if retry_after is not None:
        error.headers["Retry-After"] = f"{retry_after:g}"
    if retry_after_ms is not None:
        error.headers["retry-after-ms"] = f"{retry_after_ms:g}"
    return error


def no_capacity() -> ApiError:
    """Return the 429 of an overloaded model."""
    message = "Service tier capacity exceeded for this model."
    return api_error(429, message, "service_tier_capacity_exceeded", "3505")


def budget_exhausted() -> ApiError:
    return api_error(402, "API budget exhausted.", "billing_api_budget_exhausted", "2303")


def internal_error(status: int) -> ApiError:
    return api_error(status, "Internal server error", "internal_server_error", "3000")


def gateway_error(status: int, title: str) -> ApiError:
    """Return an HTML error of the proxy in front of the API."""
    text = f"<html><head><title>{status} {title}</title></head><body>{title}</body></html>\n"
    return ApiError(status, text)
