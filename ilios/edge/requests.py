"""Parsing of requests: members of forms, queries and JSON bodies become structs.

A member that no struct has is refused with its name and the nearest declared one: a client whose
option is ignored pays for a conversion it did not want.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, NoReturn, TypeVar
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from msgspec import Struct, inspect

from ilios.edge import uploads
from ilios.edge.context import EDGE, Edge
from ilios.edge.errors import HttpProblem
from ilios.edge.multipart import FormReader, ReadDeadline, media_type
from schemas.options import ConversionOptions
from schemas.requests import ConversionRequest

JSON_TYPE = "application/json"
MAX_JSON_BYTES = 64 * 1024
LOCAL: Literal["local"] = "local"
"""As a ``model`` it stands for the engine, which has no models to choose from."""

HARMLESS_NAMES = frozenset(
    {
        "_",  # added against caches, by jQuery and others
        "MAX_FILE_SIZE",  # forms made for PHP
        "apiKey",  # read before the operation is reached
        "fbclid",
        "gclid",
        "purpose",  # clients of file interfaces such as OpenAI's and Mistral's
        "user",  # the same clients: the end user, for their own records
    }
)
"""Fields other clients send that change nothing; they are let through everywhere."""
HARMLESS_PREFIX = "utm_"
"""Begins the parameters that campaigns add to links."""

_WHOLE_NUMBER = re.compile("0|[1-9][0-9]{0,17}")
_WORD_START = re.compile("(?<=[a-z0-9])(?=[A-Z])")

_S = TypeVar("_S", bound=Struct)


class Member(Struct, frozen=True):
    """One member of a request: its type, and the problem of a value that is not of it.

    ``schema`` is what the type adds to its JSON Schema. Without a ``code`` the handler refuses. One
    that all submissions have (``is_common``) may have rules of its own beside its type.
    """

    name: str
    type: Any
    default: Any
    required: bool
    schema: dict[str, Any]
    is_number: bool
    is_common: bool
    is_secret: bool
    code: str
    expected: str


@cache
def members(kind: type[Struct]) -> Mapping[str, Member]:
    """Return the members of a request by their names on the wire."""
    return MappingProxyType({one.name: one for one in _members(kind)})


def _members(kind: type[Struct]) -> Iterator[Member]:
    for field in msgspec.structs.fields(kind):
        extra: dict[str, Any] = {}
        schema: dict[str, Any] = {}
        found: inspect.Type = inspect.type_info(field.type)
        while isinstance(found, inspect.Metadata):
            extra = (found.extra or {}) | extra
            schema = (found.extra_json_schema or {}) | schema
            found = found.type
        name = field.encode_name
        choices = [one for one in _union(found) if isinstance(one, inspect.LiteralType)]
        allowed = " or ".join(f'"{value}"' for one in choices for value in one.values)
        yield Member(
            name=name,
            type=field.type,
            default=field.default,
            required=field.required,
            schema=schema,
            is_number=any(isinstance(one, inspect.IntType) for one in _union(found)),
            is_common=name in ConversionRequest.__struct_encode_fields__,
            is_secret=extra.get("secret", False),
            code=extra.get("code", f"invalid_{snake_case(name)}"),
            expected=extra.get("expected", allowed or "as described in /openapi.json"),
        )


def snake_case(name: str) -> str:
    """Return the name of a member as codes of problems have it."""
    return _WORD_START.sub("_", name).lower()


def problem_codes(kind: type[Struct]) -> set[str]:
    """Return the codes of problems with the members of a request, and of structs listed in it."""
    codes = {one.code for one in members(kind).values() if one.code}
    for field in msgspec.structs.fields(kind):
        for one in _union(inspect.type_info(field.type)):
            if isinstance(one, inspect.ListType) and isinstance(one.item_type, inspect.StructType):
                codes |= problem_codes(one.item_type.cls)
    return codes


def _union(found: inspect.Type) -> tuple[inspect.Type, ...]:
    while isinstance(found, inspect.Metadata):
        found = found.type
    if not isinstance(found, inspect.UnionType):
        return (found,)
    return tuple(one.type if isinstance(one, inspect.Metadata) else one for one in found.types)


def reject_unknown(given: Iterable[str], declared: Iterable[str], what: str) -> None:
    """Let pass names that are declared or harmless.

    :raises HttpProblem: another one (400).
    """
    declared = set(declared)
    for name in given:
        if name in declared or name in HARMLESS_NAMES or name.startswith(HARMLESS_PREFIX):
            continue
        shown = name if len(name) <= 64 else f"{name[:64]}..."
        shown = shown.encode(errors="replace").decode()  # JSON may escape half a surrogate pair
        folded = {one.lower().replace("_", ""): one for one in sorted(declared)}
        near = difflib.get_close_matches(shown.lower().replace("_", ""), folded, n=1, cutoff=0.6)
        hint = f'; did you mean "{folded[near[0]]}"?' if near else ""
        details: dict[str, Any] = {"name": shown}
        if near:
            details["nearest"] = folded[near[0]]
        raise HttpProblem(
            400, "unknown_field", f'There is no {what} "{shown}" here{hint}', details=details
        )


def reject_repeated(request: web.Request, kind: type[Struct]) -> None:
    """Let pass a request whose query gives each member one value, however often.

    :raises HttpProblem: a member has several values, of which all but one would be ignored (400).
    """
    for name, member in members(kind).items():
        # Without a code it is part of a signature, which its handler verifies.
        if member.code and len(set(request.query.getall(name, []))) > 1:
            error = f"{name} is given several times, with different values; once is enough"
            raise HttpProblem(400, member.code, error)


def parse_texts(kind: type[_S], given: Mapping[str, str]) -> _S:
    """Return a request parsed from the fields of a form or a query; empty ones count as left out.

    Names are not checked here.

    :raises HttpProblem: a value is not one (400).
    """
    values = {name: text for name, text in given.items() if text and name in members(kind)}
    return _parse(kind, values, strict=False)


def add_query(
    given: Mapping[str, Any], query: Mapping[str, str], fields: type[Struct], kind: type[Struct]
) -> dict[str, Any]:
    """Return the members of a JSON object with the parameters of the query that it leaves out.

    ``fields`` are what the parameters are parsed into, ``kind`` what the members are.

    :raises HttpProblem: the value of a parameter is not one, or another than in the object (400).
    """
    taken, declared = members(fields), members(kind)
    parsed: dict[str, Any] = msgspec.to_builtins(parse_texts(fields, query)) if query else {}
    for name, text in query.items():
        if (
            text
            and name in declared
            and name in given
            and given[name] not in (text, parsed.get(name))
        ):
            error = f"{name} is in the body and in the query, with different values; once is enough"
            raise HttpProblem(400, declared[name].code or "malformed_request", error)
    texts = {
        name: text
        for name, text in query.items()
        if text and name in declared and name not in taken
    }
    return texts | parsed | dict(given)


def parse_json(kind: type[_S], given: Mapping[str, Any]) -> _S:
    """Return a request parsed from a JSON object.

    :raises HttpProblem: a member is unknown, missing or has a wrong value (400).
    """
    reject_unknown(given, members(kind), "member")  # first: it may be a required one, misspelt
    missing = [
        one.name
        for one in members(kind).values()
        if one.required and given.get(one.name) in (None, "")
    ]
    if missing:
        needed = [one.name for one in members(kind).values() if one.required]
        verb = "is" if len(needed) == 1 else "are"
        raise HttpProblem(400, "missing_fields", f"{' and '.join(needed)} {verb} required")
    return _parse(kind, {name: given[name] for name in members(kind) if name in given}, strict=True)


def _parse(kind: type[_S], values: dict[str, Any], *, strict: bool) -> _S:
    for name, value in values.items():
        member = members(kind)[name]
        try:
            if member.is_number and not strict and not _WHOLE_NUMBER.fullmatch(value):
                raise msgspec.ValidationError  # msgspec reads "1e2" and "7.0" as whole numbers
            if member.is_common:
                msgspec.convert({name: value}, ConversionRequest, strict=strict)
            else:
                msgspec.convert(value, member.type, strict=strict)
        except msgspec.ValidationError as error:
            if isinstance(error.__cause__, ValueError):  # the option's own sentence
                raise HttpProblem(400, member.code, str(error.__cause__)) from None
            raise HttpProblem(400, member.code, f"{name} must be {member.expected}") from None
    return msgspec.convert(values, kind, strict=strict)


def check_engine(
    edge: Edge, options: ConversionOptions, *, mistral_batch: bool = False
) -> ConversionOptions:
    """Return the options with the engine that a model or a batch of Mistral's implies.

    :raises HttpProblem: engine and model do not go together (400), or the engine is not set up
        here (422).
    """
    engine, model = options.engine, options.model
    if model == LOCAL and engine in (None, LOCAL):
        engine, model = LOCAL, None
    elif model is not None:
        if LOCAL in (model, engine):
            error = 'The engine "local" has no models, and no other engine a model "local"'
            raise HttpProblem(400, "invalid_model", error)
        engine = "mistral"
    if mistral_batch:
        if engine == LOCAL:
            error = 'useMistralBatch is for the engine "mistral" only'
            raise HttpProblem(400, "invalid_engine", error)
        engine = "mistral"
    if engine == "mistral" and options.only_local:
        name = options.only_local[0]
        error = f'{name} is an option of the engine "local" only: leave it out, or choose that one'
        raise HttpProblem(400, members(ConversionRequest)[name].code, error)
    if engine is not None and engine not in edge.engines:
        raise HttpProblem(
            422,
            "engine_unavailable",
            "This service is not set up for Mistral: its operator has to set MISTRAL_API_KEY; "
            'leave engine, model and useMistralBatch out, or choose the engine "local"',
        )
    return msgspec.structs.replace(options, engine=engine, model=model)


async def read_json(request: web.Request, max_bytes: int = MAX_JSON_BYTES) -> object:
    """Return the JSON value a request carries. A member given twice is refused: readers differ.

    :raises HttpProblem: another media type (415), too large (413), too slow (408), or not
        well-formed (400).
    """
    if media_type(request.headers.get("Content-Type")) != JSON_TYPE:
        raise HttpProblem(
            415, "json_expected", "Send a JSON object, with Content-Type: application/json"
        )
    return decode_json(await _read_small_body(request, max_bytes))


def decode_json(body: bytes) -> object:
    """Return the JSON value of a body.

    :raises HttpProblem: it is not well-formed, or has a member twice (400).
    """
    try:
        found: object = json.loads(
            body.decode(), object_pairs_hook=_reject_duplicates, parse_constant=_reject_constant
        )
    except (ValueError, RecursionError):  # the former also for numbers of thousands of digits
        raise _malformed("The request body is not well-formed JSON") from None
    return found


async def reject_fields(request: web.Request) -> None:
    """Let pass a body without fields, where they would have no effect.

    :raises HttpProblem: a field of a form or a member of JSON has a value (400), or the body is
        too large (413), too slow (408) or malformed (400).
    """
    if not request.can_read_body:
        return
    content_type = request.headers.get("Content-Type", "")
    match media_type(content_type):
        case "application/json":
            given = await read_json(request)
            reject_unknown(given if isinstance(given, dict) else (), (), "member")
        case "application/x-www-form-urlencoded":
            body = await _read_small_body(request, MAX_JSON_BYTES)
            fields = parse_qsl(body.decode(errors="replace"))
            reject_unknown((name for name, _ in fields), (), "field")
        case uploads.FORM_TYPE:
            uploads.reject_compressed(request)
            await uploads.send_continue(request)
            limits = request.app[EDGE].limits
            deadline = ReadDeadline(limits, grace=limits.small_body_grace)
            reader = FormReader(content_type, request.content, deadline)
            while (part := await reader.next_part()) is not None:
                reject_unknown((part.name,), (), "field")
                while await reader.read_chunk():
                    pass


async def _read_small_body(request: web.Request, max_bytes: int) -> bytes:
    uploads.reject_compressed(request)
    if (request.content_length or 0) > max_bytes:
        raise _json_too_large(max_bytes)
    await uploads.send_continue(request)
    limits = request.app[EDGE].limits
    body, deadline = bytearray(), ReadDeadline(limits, grace=limits.small_body_grace)
    while chunk := await deadline.read_chunk(request.content, max_bytes):
        body += chunk
        if len(body) > max_bytes:
            raise _json_too_large(max_bytes)
    return bytes(body)


async def read_json_object(request: web.Request) -> dict[str, Any]:
    """Return the JSON object a request carries. Errors as ``read_json``."""
    return require_object(await read_json(request))


def require_object(found: object) -> dict[str, Any]:
    """Return a JSON value that is an object.

    :raises HttpProblem: it is something else (400).
    """
    if not isinstance(found, dict):
        raise _malformed("The request body must be a JSON object")
    return found


def reject_surrogates(found: object) -> None:
    """Refuse a JSON value with half a surrogate pair: it can be neither published nor hashed.

    :raises HttpProblem: it has one (400).
    """
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _malformed("The request body has text that is not Unicode") from None


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        # Python takes the last of them, others the first.
        raise _malformed("The request body has a member twice")
    return found


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity, which JSON does not have


def _malformed(error: str) -> HttpProblem:
    return HttpProblem(400, "malformed_json", error)


def _json_too_large(max_bytes: int) -> HttpProblem:
    return HttpProblem(
        413, "request_too_large", f"The request body exceeds {max_bytes // 1024} KiB"
    )
