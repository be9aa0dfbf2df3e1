"""Requests of ``POST /v1/ocr``, validated as strictly as by the API.

The fields and their types are those of ``mistralai.client.models.OCRRequest``. What is not there is
refused, and with it everything that is spelled in camelCase, as are null where a field cannot be
null and numbers that are booleans.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.mistral import errors
from tests.mistral.errors import problem
from tests.mistral.rules import MODEL_ALIASES

MAX_RANGES = 2_000
PAGES = re.compile(r"\d{1,9}(-\d{1,9})?(,\d{1,9}(-\d{1,9})?)*", re.ASCII)
DOCUMENT_URL = (
    "Value error, Document content must be a URL (starting with 'https') or base64 encoded document"
    " (starting with 'data:application/<format>;base64,<document-base64>')"
)
IMAGE_URL = (
    "Value error, Image content must be a URL (starting with 'https') or base64 encoded image"
    " (starting with 'data:image/<format>;base64,<image-base64>')"
)


@dataclass(frozen=True, slots=True)
class OcrRequest:
    """A valid request."""

    model: str
    """The model that answers, whatever name it was called by."""
    document: Mapping[str, Any]
    type: str
    """What ``document`` is: a document_url, an image_url or a file."""
    ranges: Sequence[tuple[int, int]] | None
    """First and last page of each piece, counted from 0; None is all of them."""
    selection: list[int] | str | None
    raw: Mapping[str, Any]
    """The request as it came, for the fields that need no reading."""

    def select_pages(self, count: int) -> Sequence[int]:
        """Return the pages to process, in the order they were asked for, each once.

        A page the document does not have is an error: what the real API does of it is documented
        nowhere, and a client that asks for one has lost count.
        """
        if self.ranges is None:
            return range(count)
        for _, last in self.ranges:
            if last >= count:
                raise errors.out_of_range(last, count)
        pages = (page for first, last in self.ranges for page in range(first, last + 1))
        return list(dict.fromkeys(pages))

    def is_at_least(self, model: str) -> bool:
        """Whether the model that answers can do what this one could do first."""
        order = list(dict.fromkeys(MODEL_ALIASES.values()))
        return order.index(self.model) <= order.index(model)


def parse_request(body: Any) -> OcrRequest:
    """Return the request, or raise the 422 that names all its problems."""
    if not isinstance(body, dict):
        message = "Input should be a valid dictionary or object to extract fields from"
        raise errors.invalid([problem(["body"], "model_attributes_type", message, body)])
    problems = [
        problem(["body", name], "extra_forbidden", "Extra inputs are not permitted", body[name])
        for name in body
        if name not in FIELDS
    ]
    for name, check in FIELDS.items():
        if name not in body:
            if name in {"model", "document"}:
                problems.append(problem(["body", name], "missing", "Field required", body))
        elif wrong := check(body[name]):
            problems.append(problem(["body", name], wrong[0], wrong[1], body[name]))
    kind = ""
    if isinstance(body.get("document"), dict):
        kind, more = _document(body["document"])
        problems += more
    if body.get("document_annotation_prompt") and not body.get("document_annotation_format"):
        message = "Value error, document_annotation_prompt needs a document_annotation_format"
        problems.append(problem(["body"], "value_error", message, body))
    if problems:
        raise errors.invalid(problems)
    if body["model"] not in MODEL_ALIASES:
        raise errors.invalid_model(body["model"])
    selection = body.get("pages")
    return OcrRequest(
        MODEL_ALIASES[body["model"]], body["document"], kind, _ranges(selection), selection, body
    )


FieldError = tuple[str, str] | None


def _text(value: Any) -> FieldError:
    return None if isinstance(value, str) else ("string_type", "Input should be a valid string")


def _object(value: Any) -> FieldError:
    message = "Input should be a valid dictionary or object to extract fields from"
    return None if isinstance(value, dict) else ("model_attributes_type", message)


def _flag(value: Any) -> FieldError:
    return None if isinstance(value, bool) else ("bool_type", "Input should be a valid boolean")


def _count(value: Any) -> FieldError:
    if isinstance(value, bool) or not isinstance(value, int):
        return "int_type", "Input should be a valid integer"
    if value < 0:
        return "greater_than_equal", "Input should be greater than or equal to 0"
    return None


def _pages(value: Any) -> FieldError:
    if isinstance(value, str):
        if not PAGES.fullmatch(value) or value.count(",") >= MAX_RANGES:
            return "value_error", "Value error, pages should look like '0,1,2' or '0-5' or '0,2-4'"
        if any(first > last for first, last in _ranges(value) or ()):
            return "value_error", "Value error, a range of pages ends before it begins"
        return None
    if not isinstance(value, list):
        return "list_type", "Input should be a valid list"
    if not value:
        return "too_short", "List should have at least 1 item"
    return next(filter(None, map(_count, value)), None)


def _format(value: Any) -> FieldError:
    if not isinstance(value, dict) or value.get("type") != "json_schema":
        return "value_error", "Value error, only json_schema is valid here"
    schema = value.get("json_schema")
    if not isinstance(schema, dict) or not {"name", "schema"} <= schema.keys():
        return "value_error", "Value error, json_schema needs a name and a schema"
    return None


def _one_of(*words: str) -> Callable[[Any], FieldError]:
    message = "Input should be " + " or ".join(f"'{word}'" for word in words)
    return lambda value: None if value in words else ("literal_error", message)


def _or_null(check: Callable[[Any], FieldError]) -> Callable[[Any], FieldError]:
    return lambda value: None if value is None else check(value)


FIELDS: Mapping[str, Callable[[Any], FieldError]] = {
    "model": _or_null(_text),
    "document": _object,
    "pages": _or_null(_pages),
    "include_image_base64": _or_null(_flag),
    "image_limit": _or_null(_count),
    "image_min_size": _or_null(_count),
    "bbox_annotation_format": _or_null(_format),
    "document_annotation_format": _or_null(_format),
    "document_annotation_prompt": _or_null(_text),
    "table_format": _or_null(_one_of("markdown", "html")),
    "extract_header": _flag,
    "extract_footer": _flag,
    "include_blocks": _flag,
    "confidence_scores_granularity": _or_null(_one_of("word", "page", "block")),
}

DOCUMENTS = {
    "document_url": {"type", "document_url", "document_name"},
    "image_url": {"type", "image_url"},
    "file": {"type", "file_id"},
}
"""The fields of ``DocumentURLChunk``, ``ImageURLChunk`` and ``FileChunk``."""


def _document(document: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    kind = document.get("type")
    if kind is None:
        kind = next((kind for kind, names in DOCUMENTS.items() if set(document) & names), "")
    names = DOCUMENTS.get(kind) if isinstance(kind, str) else None
    if names is None:
        message = "Input tag does not match any of 'document_url', 'image_url', 'file'"
        return "", [problem(["body", "document"], "union_tag_invalid", message, document)]
    loc = ["body", "document", kind]
    problems = [
        problem([*loc, name], "extra_forbidden", "Extra inputs are not permitted", value)
        for name, value in document.items()
        if name not in names
    ]
    field = "file_id" if kind == "file" else kind
    value = document.get(field)
    if kind == "image_url" and isinstance(value, dict):
        problems += [
            problem([*loc, field, name], "extra_forbidden", "Extra inputs are not permitted", held)
            for name, held in value.items()
            if name not in {"url", "detail"}
        ]
        value = value.get("url")
    if field not in document:
        problems.append(problem([*loc, field], "missing", "Field required", document))
    elif not isinstance(value, str):
        problems.append(
            problem([*loc, field], "string_type", "Input should be a valid string", value)
        )
    elif wrong := _value(kind, value):
        problems.append(problem([*loc, field], *wrong, value))
    if not isinstance(document.get("document_name", ""), str | None):
        message = "Input should be a valid string"
        problems.append(problem([*loc, "document_name"], "string_type", message))
    return kind, problems


def _value(kind: str, value: str) -> FieldError:
    """Return the problem of a document's URL; the links of the fake are plain http."""
    if kind == "file":
        try:
            UUID(value)
        except ValueError:
            return "uuid_parsing", "Input should be a valid UUID"
        return None
    if value.startswith(("https://", "http://127.0.0.1:")):
        return None
    families = "image" if kind == "image_url" else "application|text"
    if re.match(rf"data:({families})/[\w.+-]+;base64,", value):
        return None
    return "value_error", IMAGE_URL if kind == "image_url" else DOCUMENT_URL


def _ranges(selection: list[int] | str | None) -> list[tuple[int, int]] | None:
    if selection is None:
        return None
    if isinstance(selection, str):
        pieces = (piece.partition("-") for piece in selection.split(","))
        return [(int(first), int(last or first)) for first, _, last in pieces]
    return [(page, page) for page in selection]
